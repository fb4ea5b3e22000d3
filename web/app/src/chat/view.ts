import { createContext } from "preact";
import { signal } from "@preact/signals";
import { useContext } from "preact/hooks";
import { go } from "../router.js";
import { pathOf } from "../names.js";
import type { Chat } from "./chat.js";
import type { Said } from "./fold.js";
import type { Thread } from "./thread.js";

/** What the composer does: write something new, answer, or change what was written. */
export type Mode = { kind: "new" } | { kind: "reply"; to: Said } | { kind: "edit"; of: Said };

/** What a person does in one thread; shared by its parts. */
export class View {
  readonly mode = signal<Mode>({ kind: "new" });
  /** The message whose tools are shown. */
  readonly active = signal("");
  /** The message a link led to. */
  readonly marked = signal(0);
  /** Messages that came in while the end was out of sight. */
  readonly below = signal(0);
  /** The number after which the line of the unread stands. */
  readonly unreadAfter = signal<number | undefined>(undefined);
  /** Puts the cursor into the composer. */
  focus: () => void = () => {};
  /** Shows the end of the thread. */
  toEnd: () => void = () => {};
  /** Writes something into the composer. */
  insert: (text: string, user?: string) => void = () => {};

  constructor(readonly chat: Chat, readonly thread: Thread) {}

  reply(to: Said): void {
    this.mode.value = { kind: "reply", to };
    this.focus();
  }

  edit(of: Said): void {
    this.mode.value = { kind: "edit", of };
    this.focus();
  }

  remove(said: Said): void {
    void this.thread.delete(said.offset);
    this.focus();
  }

  react(said: Said, emoji: string): void {
    const on = !said.reactions.get(emoji)?.includes(this.thread.user);
    void this.thread.react(said.offset, emoji, on);
  }

  retry(said: Said): void {
    this.thread.outgoing.retry(said.key);
  }

  /** Takes a refused message back into the composer. */
  takeBack(said: Said): void {
    this.insert(this.thread.outgoing.discard(said.key));
  }

  discard(said: Said): void {
    this.thread.outgoing.discard(said.key);
  }

  jump(offset: number): void {
    go(pathOf(this.thread.name, offset));
  }

  async link(said: Said): Promise<void> {
    const url = new URL(pathOf(this.thread.name, said.offset), location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      this.thread.complain("The link was copied.");
    } catch {
      this.jump(said.offset); // then it stands in the address bar
    }
  }

  /** Our own last message that can still be changed. */
  last(): Said | undefined {
    const { entries, user } = this.thread;
    return entries.findLast((e): e is Said => e.kind === "said" && e.user === user && !e.deleted);
  }

  /** Opens the conversation with somebody. */
  async direct(user: string): Promise<void> {
    try {
      go(pathOf(await this.chat.direct(user)));
    } catch (e) {
      this.thread.complain((e as Error).message);
    }
  }
}

export const ViewContext = createContext<View | undefined>(undefined);

/** The view around a component. */
export function useView(): View {
  return useContext(ViewContext)!;
}
