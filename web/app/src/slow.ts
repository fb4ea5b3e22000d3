import type { Socket } from "@carillon/client";
import { signal } from "@preact/signals";

/** ms by which every frame is late, to the server and back together; 0: not at all. */
export const delay = signal(0);

/** Lets things happen later, never before what came ahead of them. */
class Queue {
  #due = 0;

  add(f: () => void): void {
    const now = performance.now();
    this.#due = Math.max(this.#due, now + delay.peek() / 2);
    if (this.#due <= now) f();
    else setTimeout(f, this.#due - now);
  }
}

/** A WebSocket behind a long way: what it sends and what it brings takes half of `delay` each. */
export class SlowSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onerror: Socket["onerror"] = null;
  onclose: Socket["onclose"] = null;
  #socket: WebSocket;
  #out = new Queue();
  #in = new Queue();

  constructor(url: string, protocols: string[]) {
    const s = (this.#socket = new WebSocket(url, protocols));
    s.onopen = (e) => this.#in.add(() => this.onopen?.(e));
    s.onmessage = (e) => this.#in.add(() => this.onmessage?.(e));
    s.onerror = (e) => this.#in.add(() => this.onerror?.(e));
    s.onclose = (e) => this.#in.add(() => this.onclose?.(e));
  }

  get binaryType(): string {
    return this.#socket.binaryType;
  }

  set binaryType(type: string) {
    this.#socket.binaryType = type as BinaryType;
  }

  send(data: string | ArrayBuffer): void {
    this.#out.add(() => this.#socket.readyState === WebSocket.OPEN && this.#socket.send(data));
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason); // a line that is cut is not cut later
  }
}
