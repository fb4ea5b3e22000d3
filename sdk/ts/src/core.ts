/**
 * @carillon/client/core: the same client without `presence` and `messages()`, for pages that count each byte.
 */
export { Carillon, type Stats } from "./carillon.js";
export { type Answer, Channel, type ChannelEvents, type ChannelOptions, type ChannelState, type PublishOptions, type Receipt, type Sign } from "./channel.js";
export type { Off } from "./emitter.js";
export { CarillonError } from "./error.js";
export type { Gap, Recovered } from "./follow.js";
export type { HistoryOptions, Message, Page } from "./history.js";
export type { Entry, LatestChange } from "./latest.js";
export type { Protocol } from "./protocol.js";
export type { ClientEvents, Connected, Options, Reconnecting, State } from "./session.js";
