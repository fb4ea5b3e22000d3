import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

type Message = Record<string, any>;

/** One line as a server sees it. */
export class Peer {
  #inbox: Message[] = [];
  #wanted: ((m: Message) => void)[] = [];

  constructor(readonly socket: WebSocket) {
    socket.on("message", (data) => {
      const m = JSON.parse(String(data));
      if (m.type === "leave") return socket.close(1000);
      const wanted = this.#wanted.shift();
      if (wanted) wanted(m);
      else this.#inbox.push(m);
    });
    socket.on("error", () => {});
  }

  /** The next request; of a type, if one is given, passing over others. */
  async next(type?: string): Promise<Message> {
    for (;;) {
      const m = this.#inbox.shift() ?? (await new Promise<Message>((resolve) => this.#wanted.push(resolve)));
      if (!type || m.type === type) return m;
    }
  }

  send(...messages: Message[]): void {
    for (const m of messages) this.socket.send(JSON.stringify(m));
  }

  /** Answers `connect`. */
  async welcome(o: Message = {}): Promise<Message> {
    const m = await this.next("connect");
    this.send({ type: "connected", id: m.id, conn: "1", user: "ann", time: 1000, server: "scripted/1", heartbeat: { interval: 25000, timeout: 10000 }, ...o });
    return m;
  }

  /** Answers a subscribe. */
  async admit(o: Message = {}): Promise<Message> {
    const m = await this.next("subscribe");
    this.send({ type: "reply", id: m.id, channel: m.channel, at: "p0", offset: 0, ...o });
    return m;
  }
}

/** A server that says what a test tells it to say. It speaks real WebSocket on a real port. */
export class Scripted {
  url = "";
  #server: WebSocketServer;
  #peers: Peer[] = [];
  #wanted: ((p: Peer) => void)[] = [];

  constructor(server: WebSocketServer) {
    this.#server = server;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
    server.on("connection", (socket) => {
      const peer = new Peer(socket);
      const wanted = this.#wanted.shift();
      if (wanted) wanted(peer);
      else this.#peers.push(peer);
    });
  }

  /** The next line. */
  line(): Promise<Peer> {
    const peer = this.#peers.shift();
    return peer ? Promise.resolve(peer) : new Promise((resolve) => this.#wanted.push(resolve));
  }

  stop(): void {
    for (const c of this.#server.clients) c.terminate();
    this.#server.close();
  }
}

export async function scripted(): Promise<Scripted> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const s = new Scripted(server);
  onTestFinished(() => s.stop());
  return s;
}
