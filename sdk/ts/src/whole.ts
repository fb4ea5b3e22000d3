import { Carillon as Core } from "./carillon.js";
import { Channel as CoreChannel, type ChannelOptions } from "./channel.js";
import { Messages, type MessagesOptions } from "./messages.js";
import { Presence } from "./presence.js";
import type { Session } from "./session.js";

/** A channel. It is subscribed to while somebody listens to its records, and left when the last one has gone. */
export class Channel<T = unknown, L = T> extends CoreChannel<T, L> {
  /** Who is there. */
  readonly presence: Presence;

  /** @internal */
  constructor(session: Session, name: string, presence: () => CoreChannel<unknown, any>) {
    super(session, name);
    this.presence = new Presence(session, name, presence);
  }

  /** The messages from now on, or after `since`, at the reader's pace: a slow one misses nothing. Ends with the client. */
  messages(o: MessagesOptions = {}): Messages<T> {
    return new Messages<T>(this, o);
  }
}

/**
 * A connection to Carillon that comes back, with all that is asked of it. It connects by itself, in a moment. Every
 * record is handed over once and in order, or a `gap` in its place; every publish is acknowledged once.
 */
export class Carillon extends Core {
  /** The channel of this name, always the same one. Options count while nobody listens to it yet. */
  override channel<T = unknown, L = T>(name: string, options?: ChannelOptions): Channel<T, L> {
    return super.channel(name, options) as Channel<T, L>;
  }

  /** @internal */
  protected override make(session: Session, name: string): Channel<any, any> {
    return new Channel(session, name, () => super.channel(name + "@presence"));
  }
}
