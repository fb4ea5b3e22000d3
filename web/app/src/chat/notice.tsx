import type { JSX } from "preact";
import { nameOf } from "../names.js";
import type { Notice } from "./fold.js";
import { span } from "./when.js";

const maxNamed = 3;

/** What happened in the room, as a sentence. */
export function Happened({ notices, at }: { notices: readonly Notice[]; at: string }): JSX.Element {
  return (
    <li class="happened small quiet" data-key={at}>
      <span dir="auto">{sentence(notices)}</span>
    </li>
  );
}

function sentence(notices: readonly Notice[]): string {
  const n = notices[0]!;
  const by = nameOf(n.user);
  const r = n.record;
  switch (r.type) {
    case "join":
      return `${names(notices)} joined`;
    case "leave":
      return `${names(notices)} left`;
    case "create":
      return `${by} opened the room`;
    case "open":
      return `${by} began this conversation`;
    case "invite":
      return `${by} invited ${nameOf(r.user)}`;
    case "kick":
      return `${by} removed ${nameOf(r.user)}`;
    case "ban":
      return `${by} banned ${nameOf(r.user)}`;
    case "unban":
      return `${by} lifted the ban of ${nameOf(r.user)}`;
    case "mute":
      return `${by} muted ${nameOf(r.user)} for ${span(r.until - n.time)}`;
    case "unmute":
      return `${by} lets ${nameOf(r.user)} write again`;
    case "role":
      return `${by} made ${nameOf(r.user)} ${r.role === "member" ? "a member" : r.role === "owner" ? "an owner" : "a moderator"}`;
    case "slow":
      return r.seconds ? `${by} turned slow mode on: one message every ${span(r.seconds * 1000)}` : `${by} turned slow mode off`;
    case "title":
      return `${by} called the room “${r.title}”`;
  }
}

function names(notices: readonly Notice[]): string {
  const all = [...new Set(notices.map((n) => nameOf(n.user)))];
  const named = all.slice(0, maxNamed);
  const others = all.length - named.length;
  if (others > 0) return `${named.join(", ")} and ${others} more`;
  return named.length > 1 ? `${named.slice(0, -1).join(", ")} and ${named.at(-1)}` : named.join("");
}
