import type { CarillonError, Channel } from "@carillon/client";
import { refreshCounts } from "../link.js";
import type { Said } from "./fold.js";
import type { RoomRecord } from "./records.js";

export interface Draft {
  text: string;
  replyTo?: number | undefined;
  mentions?: readonly string[];
}

/** A message on its way. */
interface Parcel {
  said: Said;
  /** Of its record, once the room has told it. */
  offset: number | undefined;
  /** Until when the room takes nothing of us, ms since 1970. */
  until: number | undefined;
  idem: string;
  /** The room judged it: the same again needs another idem. */
  judged: boolean;
}

let count = 0;
const newIdem = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(36).padStart(2, "0")).join("");

/** Our messages that the log does not show yet, in the order in which they were written. */
export class Outgoing {
  #parcels: Parcel[] = [];
  #channel: Channel<RoomRecord, any>;
  #user: string;
  #changed: () => void;

  constructor(channel: Channel<RoomRecord, any>, user: string, changed: () => void) {
    this.#channel = channel;
    this.#user = user;
    this.#changed = changed;
  }

  get list(): readonly Said[] {
    return this.#parcels.map((p) => p.said);
  }

  /** Until when a refused message has to wait. */
  waits(key: string): number {
    return this.#parcels.find((p) => p.said.key === key)?.until ?? 0;
  }

  send(d: Draft): void {
    const said: Said = {
      kind: "said", key: `p${++count}-${newIdem()}`, offset: 0, at: "", n: 0, user: this.#user, time: Date.now(), text: d.text, edited: false, deleted: false,
      replyTo: d.replyTo, mentions: d.mentions ?? [], reactions: new Map(), state: "sending", why: undefined,
    };
    const p: Parcel = { said, offset: undefined, until: undefined, idem: newIdem(), judged: false };
    this.#parcels.push(p);
    void this.#ship(p);
  }

  /** Sends a refused message once more. */
  retry(key: string): void {
    const p = this.#parcels.find((p) => p.said.key === key);
    if (p?.said.state !== "refused") return;
    if (p.judged) p.idem = newIdem();
    this.#parcels = [...this.#parcels.filter((q) => q !== p), p]; // it comes after what was written since
    p.said = { ...p.said, state: "sending", why: undefined, time: Date.now() };
    void this.#ship(p);
  }

  /** Takes a refused message out, and gives back what it said. */
  discard(key: string): string {
    const p = this.#parcels.find((p) => p.said.key === key);
    this.#parcels = this.#parcels.filter((q) => q !== p);
    this.#changed();
    return p?.said.text ?? "";
  }

  /** A record of ours arrived: the message it confirms is the log's now. Gives the key it had until then. */
  arrived(offset: number, text: string): string | undefined {
    const sent = (p: Parcel) => p.said.state !== "refused";
    // The record can be here before the answer to the command: then the oldest one that says the same is meant.
    const p = this.#parcels.find((p) => p.offset === offset) ?? this.#parcels.find((p) => sent(p) && p.offset === undefined && p.said.text === text);
    if (!p) return undefined;
    this.#parcels = this.#parcels.filter((q) => q !== p);
    return p.said.key;
  }

  async #ship(p: Parcel): Promise<void> {
    this.#changed();
    const { text, replyTo, mentions } = p.said;
    try {
      const asked = this.#channel.request<{ n: number; at: number }>(
        { do: "send", text, ...(replyTo && { reply_to: replyTo }), ...(mentions.length && { mentions }) },
        { idem: p.idem },
      );
      refreshCounts();
      p.offset = (await asked).data.at;
    } catch (e) {
      const error = e as CarillonError;
      const wait = (error.data as { retry_after?: number } | undefined)?.retry_after ?? error.retryAfter;
      p.judged = error.number !== undefined;
      p.until = wait ? Date.now() + wait : undefined;
      p.said = { ...p.said, state: "refused", why: error.message };
    }
    refreshCounts();
    this.#changed();
  }
}
