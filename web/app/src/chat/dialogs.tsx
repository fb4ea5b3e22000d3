import { useSignal } from "@preact/signals";
import type { JSX, TargetedSubmitEvent } from "preact";
import { useEffect } from "preact/hooks";
import { Dialog } from "../dialog.js";
import { Icon } from "../icons.js";
import { pathOf } from "../names.js";
import { go } from "../router.js";
import { Skeleton } from "../skeleton.js";
import type { Chat } from "./chat.js";
import { maxTitle } from "./records.js";
import { sentence } from "./thread.js";

const maxSlug = 48;

/** The name of a room's channel, made of its title. */
function slug(title: string): string {
  const s = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, maxSlug);
  const taken = ["", "me", "dm", "directory"].includes(s);
  return taken ? `room-${Math.random().toString(36).slice(2, 8)}` : s;
}

export function CreateRoom({ chat, close }: { chat: Chat; close(): void }): JSX.Element {
  const problem = useSignal("");
  const submit = async (e: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    e.preventDefault();
    const data = new FormData(e.currentTarget);
    const title = String(data.get("title") ?? "").trim();
    if (!title) {
      problem.value = "Say what the room is called.";
      return;
    }
    const name = "chat:" + slug(title);
    try {
      await chat.create(name, title, data.get("public") !== null);
      close();
      go(pathOf(name));
    } catch (err) {
      problem.value = sentence(err as Error);
    }
  };
  return (
    <Dialog title="New room" close={close}>
      <form class="form" onSubmit={submit} noValidate>
        <label class="small" for="room-title">
          What it is about
        </label>
        <input id="room-title" name="title" dir="auto" maxLength={maxTitle} autocomplete="off" autofocus aria-describedby="room-problem" />
        <label class="check small">
          <input type="checkbox" name="public" checked /> Public: everybody may find, read and join it
        </label>
        <p id="room-problem" class="problem small" role="alert">
          {problem.value}
        </p>
        <button class="primary">Open the room</button>
      </form>
    </Dialog>
  );
}

const maxShown = 100;

/** The directory of public rooms. */
export function Browse({ chat, close }: { chat: Chat; close(): void }): JSX.Element {
  const wanted = useSignal("");
  const { directory } = chat;
  useEffect(() => directory.watch(), [directory]);
  const found = directory.busiest.value.filter((r) => `${r.title} ${r.room}`.toLowerCase().includes(wanted.value.toLowerCase()));
  const mine = chat.rooms.all.value;
  const enter = async (room: string): Promise<void> => {
    close();
    go(pathOf(room));
    if (!mine.has(room)) await chat.join(room).catch((e: Error) => (chat.rooms.problem.value = sentence(e)));
  };
  return (
    <Dialog title="Public rooms" close={close}>
      <input type="search" placeholder="Find a room" aria-label="Find a room" autofocus onInput={(e) => (wanted.value = e.currentTarget.value)} />
      {directory.problem.value && <p class="problem small">{directory.problem.value}</p>}
      {!directory.ready.value && !directory.problem.value && <Skeleton lines={5} />}
      <ul class="found">
        {found.slice(0, maxShown).map((r) => (
          <li key={r.room}>
            <button type="button" onClick={() => void enter(r.room)}>
              <Icon name="hash" />
              <bdi class="title">{r.title || r.room.slice(5)}</bdi>
              <span class="quiet tiny number">
                {r.members} {r.members === 1 ? "member" : "members"}
              </span>
              <span class="small joined">{mine.has(r.room) ? "Joined" : "Join"}</span>
            </button>
          </li>
        ))}
      </ul>
      {directory.ready.value && found.length === 0 && (
        <p class="quiet small pad">{wanted.value ? "No public room is called like that." : "There is no public room yet. Open the first one."}</p>
      )}
    </Dialog>
  );
}

/** Asks for one line, such as a title or whom to invite. */
export function Ask({ title, label, value, done, close }: { title: string; label: string; value?: string; done(text: string): void; close(): void }): JSX.Element {
  return (
    <Dialog title={title} close={close}>
      <form
        class="form"
        onSubmit={(e: TargetedSubmitEvent<HTMLFormElement>) => {
          e.preventDefault();
          const text = String(new FormData(e.currentTarget).get("line") ?? "").trim();
          if (!text) return;
          close();
          done(text);
        }}
      >
        <label class="small" for="ask-line">
          {label}
        </label>
        <input id="ask-line" name="line" dir="auto" defaultValue={value ?? ""} maxLength={128} autocomplete="off" autofocus />
        <button class="primary">Save</button>
      </form>
    </Dialog>
  );
}
