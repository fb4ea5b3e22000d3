import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Avatar, Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { nameOf, pathOf } from "../names.js";
import { follow } from "../router.js";
import { Skeleton } from "../skeleton.js";
import { Browse, CreateRoom } from "./dialogs.js";
import type { Chat } from "./chat.js";
import { type Room, unreadOf } from "./rooms.js";

/** What a room is called. */
export const titleOf = (r: Room): string => (r.with ? nameOf(r.with) : r.title || r.name.slice("chat:".length));

/** Our rooms in the order in which they are shown: those of many by name, then conversations by their last message. */
export function ordered(all: ReadonlyMap<string, Room>): { rooms: Room[]; direct: Room[] } {
  const list = [...all.values()];
  return {
    rooms: list.filter((r) => !r.with).sort((a, b) => titleOf(a).localeCompare(titleOf(b))),
    direct: list.filter((r) => r.with).sort((a, b) => b.time - a.time || titleOf(a).localeCompare(titleOf(b))),
  };
}

/** The rooms, on the left. */
export function Side({ chat, current }: { chat: Chat; current: string | undefined }): JSX.Element {
  const dialog = useSignal<"create" | "browse" | undefined>(undefined);
  const { rooms, direct } = ordered(chat.rooms.all.value);
  const close = () => (dialog.value = undefined);
  return (
    <nav class="side" aria-label="Rooms">
      <div class="sidehead">
        {current ? <h2>Rooms</h2> : <h1>Rooms</h1>}
        <button type="button" class="bare" title="Browse public rooms" onClick={() => (dialog.value = "browse")}>
          <Icon name="search" label="Browse public rooms" />
        </button>
        <button type="button" class="bare" title="New room" onClick={() => (dialog.value = "create")}>
          <Icon name="plus" label="New room" />
        </button>
      </div>
      <div class="places">
        {chat.rooms.problem.value && <p class="problem small pad">{chat.rooms.problem.value}</p>}
        {!chat.rooms.ready.value && <Skeleton />}
        <Invites chat={chat} />
        <ul>
          {rooms.map((r) => (
            <Place key={r.name} room={r} current={r.name === current} online={undefined} />
          ))}
        </ul>
        {chat.rooms.ready.value && rooms.length === 0 && (
          <p class="quiet small pad">
            You are in no room yet.{" "}
            <button type="button" class="textual" onClick={() => (dialog.value = "browse")}>
              Browse the public ones
            </button>{" "}
            or{" "}
            <button type="button" class="textual" onClick={() => (dialog.value = "create")}>
              open one
            </button>
            .
          </p>
        )}
        {direct.length > 0 && <h3 class="quiet">Conversations</h3>}
        <ul>
          {direct.map((r) => (
            <Place key={r.name} room={r} current={r.name === current} online={chat.rooms.online.value.has(r.with!)} />
          ))}
        </ul>
      </div>
      {dialog.value === "create" && <CreateRoom chat={chat} close={close} />}
      {dialog.value === "browse" && <Browse chat={chat} close={close} />}
    </nav>
  );
}

function Place({ room, current, online }: { room: Room; current: boolean; online: boolean | undefined }): JSX.Element {
  const unread = current && !document.hidden ? 0 : unreadOf(room);
  const classes = [unread > 0 && !room.muted ? "more" : "", room.muted ? "muted" : ""].join(" ").trim();
  return (
    <li>
      <a href={pathOf(room.name)} onClick={follow} aria-current={current ? "page" : undefined} class={classes}>
        {room.with ? <Avatar user={room.with} small online={online} /> : <Icon name={room.public ? "hash" : "lock"} />}
        <bdi class="title">{titleOf(room)}</bdi>
        {room.mentions > 0 && !current && (
          <span class="badge mention number">
            <Icon name="at" />
            {room.mentions}
            <span class="hidden"> mentions of you</span>
          </span>
        )}
        {unread > 0 && !room.muted && (
          <span class="badge number">
            {unread > 99 ? "99+" : unread}
            <span class="hidden"> unread</span>
          </span>
        )}
        {room.muted && <Icon name="mute" label="muted" />}
      </a>
    </li>
  );
}

function Invites({ chat }: { chat: Chat }): JSX.Element | null {
  const invites = chat.rooms.invites.value;
  if (!invites.length) return null;
  return (
    <>
      <h3 class="quiet">Invitations</h3>
      <ul>
        {invites.map((i) => (
          <li key={i.room} class="invite small">
            <p>
              <Name user={i.by} /> <span class="quiet">asks you into</span> <bdi>{i.title || i.room.slice(5)}</bdi>
            </p>
            <a class="button" href={pathOf(i.room)} onClick={(e) => { follow(e); void chat.join(i.room).catch((e: Error) => (chat.rooms.problem.value = e.message)); }}>
              Join
            </a>
            <button type="button" class="bare" onClick={() => chat.rooms.decline(i.room)}>
              Decline
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
