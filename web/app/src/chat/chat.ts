import type { Carillon, CarillonError } from "@carillon/client";
import { effect, signal } from "@preact/signals";
import { client, guest } from "../link.js";
import { directOf, listOf, lobby } from "../names.js";
import { unread } from "../title.js";
import { Directory } from "./directory.js";
import { Rooms } from "./rooms.js";
import { Thread } from "./thread.js";

const maxThreads = 8; // rooms kept ready to be shown again at once

const noRoom = 6;
const exists = 7;

/** Everything of chat for one user on one connection. */
export class Chat {
  readonly rooms: Rooms;
  readonly directory: Directory;
  readonly user: string;
  #client: Carillon;
  #threads = new Map<string, Thread>(); // the one shown last stands last
  #lobby: Promise<void> | undefined;

  constructor(c: Carillon, user: string, list: string) {
    this.#client = c;
    this.user = user;
    this.rooms = new Rooms(c, list);
    this.directory = new Directory(c);
  }

  /** The thread of a room, opened. */
  thread(name: string): Thread {
    let t = this.#threads.get(name);
    if (t) this.#threads.delete(name);
    else {
      t = new Thread(this.#client, name, this.user);
      void t.open();
    }
    this.#threads.set(name, t);
    for (const [other, old] of this.#threads) {
      if (this.#threads.size <= maxThreads) break;
      if (old.outgoing.list.length) continue; // it holds what nobody else has
      old.close();
      this.#threads.delete(other);
    }
    return t;
  }

  /** Joins a room. */
  async join(name: string): Promise<void> {
    await this.#client.channel(name).request({ do: "join" });
    await this.#reopen(name);
  }

  async create(name: string, title: string, open: boolean): Promise<void> {
    await this.#client.channel(name).request({ do: "create", title, public: open });
    await this.#reopen(name);
  }

  /** Joins the lobby, and opens it if nobody has. */
  joinLobby(): Promise<void> {
    this.#lobby ??= this.#joinLobby().catch((e: unknown) => {
      this.#lobby = undefined;
      throw e;
    });
    return this.#lobby;
  }

  /** The name of the conversation with somebody, opened. */
  async direct(user: string): Promise<string> {
    const name = await directOf(this.user, user);
    await this.#client.channel(name).request({ do: "open", user });
    await this.#reopen(name);
    return name;
  }

  close(): void {
    this.rooms.close();
    for (const t of this.#threads.values()) t.close();
  }

  async #joinLobby(): Promise<void> {
    try {
      await this.join(lobby);
    } catch (e) {
      if ((e as CarillonError).number !== noRoom) throw e;
      await this.create(lobby, "Lobby", true).catch((e: CarillonError) => {
        if (e.number !== exists) throw e;
        return this.join(lobby); // somebody else was faster
      });
    }
  }

  /** What may be read has changed. */
  async #reopen(name: string): Promise<void> {
    const t = this.#threads.get(name);
    if (t?.status.peek() === "away") await t.open();
  }
}

export const chat = signal<Chat | undefined>(undefined);

effect(() => void (unread.value = chat.value?.rooms.unread.value ?? 0));

effect(() => {
  const c = client.value;
  const user = guest.value?.user;
  if (!c || !user) return;
  let made: Chat | undefined;
  let over = false;
  void listOf(user).then((list) => {
    if (!over) chat.value = made = new Chat(c, user, list);
  });
  return () => {
    over = true;
    made?.close();
    chat.value = undefined;
  };
});
