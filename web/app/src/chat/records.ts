// What stands in the channels of chat; docs/chat.md says it in full.

export type Role = "member" | "moderator" | "owner";

/** A record of a room's log. */
export type RoomRecord =
  | { type: "message"; n: number; text: string; reply_to?: number; mentions?: string[] }
  | { type: "edit"; of: number; text: string; mentions?: string[] }
  | { type: "delete"; of: number }
  | { type: "react"; of: number; emoji: string; on: boolean }
  | { type: "create"; title: string; public?: boolean }
  | { type: "open" | "invite" | "kick" | "ban" | "unban" | "unmute"; user: string }
  | { type: "join" | "leave" }
  | { type: "mute"; user: string; until: number }
  | { type: "role"; user: string; role: Role }
  | { type: "slow"; seconds: number }
  | { type: "title"; title: string };

export interface Summary {
  n: number;
  at: number;
  last?: { user: string; time: number; preview: string };
}

export interface Settings {
  title: string;
  public: boolean;
  slow: number;
  closed?: boolean;
}

/** The latest values of a room, by the keys `summary` and `settings`. */
export type RoomLatest = Partial<Summary & Settings>;

export interface Member {
  user: string;
  role: Role;
  /** Until when, ms since 1970; absent: not muted. */
  muted?: number;
}

export interface Info {
  title: string;
  public: boolean;
  direct: boolean;
  closed: boolean;
  slow: number;
  n: number;
  at?: number;
  count: number;
  role?: Role;
  muted?: number;
  members: Member[];
  more: boolean;
  bans?: { user: string }[];
}

export interface Invite {
  room: string;
  by: string;
  title: string;
  time: number;
}

/** A room in the list of a user. */
export interface Place {
  with?: string;
  read: number;
  last: number;
  mentions: number;
  muted?: boolean;
}

export type MeRecord =
  | { type: "joined"; room: string; with?: string }
  | { type: "left"; room: string; why: "leave" | "kick" | "ban" }
  | { type: "invited"; room: string; by: string; title: string }
  | { type: "declined"; room: string }
  | { type: "mention"; room: string; by: string; n: number; at: number };

export interface Listing {
  room: string;
  title: string;
  members: number;
}

export type DirectoryRecord = ({ type: "room" } & Listing) | { type: "gone"; room: string };

export const maxText = 4000; // characters of a message
export const maxTitle = 100; // characters
export const maxMentions = 16; // users in one message
