import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Avatar } from "../avatar.js";
import { Icon } from "../icons.js";
import { type Action, Menu } from "../menu.js";
import { nameOf } from "../names.js";
import { follow, go } from "../router.js";
import { Ask } from "./dialogs.js";
import { rank } from "./people.js";
import { sentence } from "./thread.js";
import { useView } from "./view.js";
import { span } from "./when.js";

const paces = [0, 5, 30, 300]; // seconds of slow mode to choose from

/** The room's name, and what can be done with the room. */
export function Head({ people, toggle }: { people: boolean; toggle(): void }): JSX.Element {
  const view = useView();
  const { thread, chat } = view;
  const asking = useSignal<"title" | "invite" | undefined>(undefined);
  const info = thread.people.info.value;
  const place = chat.rooms.all.value.get(thread.name);
  const partner = place?.with ?? (info?.direct ? [...thread.people.members.value.keys()].find((u) => u !== thread.user) : undefined);
  const online = partner !== undefined && (thread.people.online.value.has(partner) || chat.rooms.online.value.has(partner));
  const title = partner ? nameOf(partner) : info?.title || place?.title || thread.name.slice(5);
  const actions = roomActions();
  return (
    <header class="roomhead">
      <a class="bare narrow button" href="/chat" onClick={follow} title="All rooms">
        <Icon name="back" label="All rooms" size={20} />
      </a>
      {partner ? <Avatar user={partner} small online={online} /> : <Icon name={info?.public === false ? "lock" : "hash"} size={20} label={info?.public === false ? "private room" : "public room"} />}
      <h1>
        <bdi>{title}</bdi>
      </h1>
      {!!info?.slow && (
        <span class="tiny quiet slow" title="Slow mode: so long between two messages">
          <Icon name="clock" label="Slow mode" /> {span(info.slow * 1000)}
        </span>
      )}
      <button type="button" class="bare small people" aria-pressed={people} title="People" onClick={toggle}>
        <Icon name="people" label="People" size={20} />
        <span class="number" title="here, of all members">
          {thread.people.onlineCount.value}/{info?.count ?? "–"}
        </span>
      </button>
      {info?.role && !info.direct && <Menu label="This room" actions={actions} />}
      {asking.value === "title" && (
        <Ask title="Rename the room" label="New name" value={info?.title ?? ""} close={() => (asking.value = undefined)} done={(t) => void thread.ask({ do: "title", title: t })} />
      )}
      {asking.value === "invite" && (
        <Ask title="Invite somebody" label="User id, such as guest-ann-4k2f…" close={() => (asking.value = undefined)} done={(user) => void thread.ask({ do: "invite", user })} />
      )}
    </header>
  );

  function roomActions(): Action[] {
    const list: Action[] = [{ name: "Invite", icon: "plus", run: () => (asking.value = "invite") }];
    if (place) {
      const muted = !!place.muted;
      list.push({ name: muted ? "Count unread again" : "Stay quiet", icon: "bell", run: () => void chat.rooms.quiet(thread.name, !muted).catch((e: Error) => thread.complain(sentence(e))) });
    }
    if (rank(info?.role) >= 2) {
      list.push({ name: "Rename", icon: "edit", run: () => (asking.value = "title") });
      for (const seconds of paces.filter((s) => s !== info?.slow)) {
        list.push({ name: seconds ? `Slow mode: ${span(seconds * 1000)}` : "Slow mode off", icon: "clock", run: () => void thread.ask({ do: "slow", seconds }) });
      }
    }
    list.push({ name: "Leave", icon: "leave", danger: true, run: () => void thread.ask({ do: "leave" }).then((done) => done && go("/chat")) });
    return list;
  }
}
