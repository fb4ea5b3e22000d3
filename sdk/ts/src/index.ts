/**
 * @carillon/client: the client of Carillon for browsers, workers, Node, Deno and Bun.
 * Start with `Carillon`; `Follow` in follow.ts is the heart: it turns lines that break into one unbroken log.
 */
export type { Backoff } from "./backoff.js";
export type { Stats } from "./carillon.js";
export type { Answer, ChannelEvents, ChannelOptions, ChannelState, PublishOptions, Receipt, Sign } from "./channel.js";
export type { Off } from "./emitter.js";
export { CarillonError } from "./error.js";
export type { Gap, Recovered } from "./follow.js";
export type { HistoryOptions, Message, Page } from "./history.js";
export type { Entry, LatestChange } from "./latest.js";
export type { Frame, Socket, SocketConstructor } from "./line.js";
export type { Messages, MessagesOptions } from "./messages.js";
export type { Member, Presence, Seen } from "./presence.js";
export type { Protocol } from "./protocol.js";
export type { QueueLimit } from "./outbox.js";
export type { ClientEvents, Connected, Options, Reconnecting, State } from "./session.js";
export { Carillon, Channel } from "./whole.js";
