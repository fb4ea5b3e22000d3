import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { Carillon } from "./carillon.js";
import type { Carillon as Whole } from "./whole.js";
import type { Channel, ChannelOptions, ChannelState, PublishOptions, Receipt } from "./channel.js";
import type { CarillonError } from "./error.js";
import type { Gap } from "./follow.js";
import type { Message } from "./history.js";
import type { Member } from "./presence.js";
import type { State } from "./session.js";

export interface Connection {
  state: State;
  /** Failed attempts in a row, while reconnecting. */
  attempt: number;
  /** Why there is no line; its message is a sentence for people. */
  error: CarillonError | undefined;
  user: string | undefined;
}

/** Where the client stands with its server. */
export function useConnection(client: Carillon): Connection {
  const [trouble, setTrouble] = useState<{ attempt: number; error: CarillonError | undefined }>({ attempt: 0, error: undefined });
  useEffect(() => {
    const offs = [
      client.on("reconnecting", ({ attempt, error }) => setTrouble({ attempt, error })),
      client.on("failed", (error) => setTrouble({ attempt: 0, error })),
      client.on("connected", () => setTrouble({ attempt: 0, error: undefined })),
    ];
    return () => offs.forEach((off) => off());
  }, [client]);
  const subscribe = useCallback((changed: () => void) => client.on("state", changed), [client]);
  const state = useSyncExternalStore(subscribe, () => client.state, () => client.state);
  return { state, ...trouble, user: client.user };
}

export interface UseChannelOptions extends ChannelOptions {
  /** Messages kept for the view, newest last; default 200. */
  keep?: number;
  /** Messages read from history when the view begins; default 50, 0 for none. */
  history?: number;
}

export interface ChannelView<T> {
  channel: Channel<T>;
  messages: readonly Message<T>[];
  state: ChannelState;
  error: CarillonError | undefined;
  /** The last gap that could not be filled. */
  gap: Gap | undefined;
  publish: (data: T, o?: PublishOptions) => Promise<Receipt>;
}

/** The newest messages of a channel, and those to come. */
export function useChannel<T>(client: Carillon, name: string, o: UseChannelOptions = {}): ChannelView<T> {
  const { keep = 200, history = 50 } = o;
  const options = useRef(o);
  const channel = useMemo(() => client.channel<T>(name, options.current), [client, name]);
  const [messages, setMessages] = useState<readonly Message<T>[]>([]);
  const [gap, setGap] = useState<Gap>();
  useEffect(() => {
    let open = true;
    setMessages([]);
    setGap(undefined);
    // History and what comes live overlap, in either order of their coming: one place in the log, one message.
    const add = (more: readonly Message<T>[]) => {
      if (open) setMessages((held) => merge(held, more).slice(-keep));
    };
    const offs = [channel.on("message", (m) => add([m])), channel.on("gap", setGap)];
    if (history > 0) channel.ready().then(() => channel.history({ limit: history })).then((p) => add(p.messages), () => {});
    return () => {
      open = false;
      offs.forEach((off) => off());
    };
  }, [channel, keep, history]);
  const subscribe = useCallback((changed: () => void) => channel.on("state", changed), [channel]);
  const state = useSyncExternalStore(subscribe, () => channel.state, () => channel.state);
  const publish = useCallback((data: T, options?: PublishOptions) => channel.publish(data, options), [channel]);
  return { channel, messages, state, error: channel.error, gap, publish };
}

/** Who is in a channel, in order of their coming. To watch does not make one a member. */
export function usePresence(client: Whole, name: string): { members: readonly Member[]; count: number } {
  const presence = useMemo(() => client.channel(name).presence, [client, name]);
  const [view, setView] = useState({ members: presence.members, count: presence.count });
  useEffect(() => presence.onSync((members) => setView({ members, count: presence.count })), [presence]);
  return view;
}

/** Two runs of messages as one, in the order of the log. A log that began anew takes the place of the old one. */
function merge<T>(held: readonly Message<T>[], more: readonly Message<T>[]): readonly Message<T>[] {
  const last = held[held.length - 1];
  const first = more[0];
  if (!last || !first) return last ? held : more;
  if (first.offset > last.offset) return [...held, ...more];
  const places = new Map(more.map((m) => [m.at, m]));
  for (const m of held) places.set(m.at, m);
  return [...places.values()].sort((a, b) => a.time - b.time || a.offset - b.offset);
}
