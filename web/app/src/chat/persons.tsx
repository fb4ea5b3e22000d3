import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Avatar, Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { type Action, MenuButton, MenuList } from "../menu.js";
import { nameOf } from "../names.js";
import { rank } from "./people.js";
import type { Member, Role } from "./records.js";
import { useView, type View } from "./view.js";
import { ago, span } from "./when.js";

const minute = 60_000;
const mutes: readonly (readonly [string, number])[] = [["10 minutes", 10 * minute], ["a day", 24 * 60 * minute]];

/** The people of a room, on the right: who is there first. */
export function Persons({ close }: { close(): void }): JSX.Element {
  const view = useView();
  const { people } = view.thread;
  const online = people.online.value;
  const all = [...people.members.value.values()].sort((a, b) => rank(b.role) - rank(a.role) || nameOf(a.user).localeCompare(nameOf(b.user)));
  const here = all.filter((m) => online.has(m.user));
  const away = all.filter((m) => !online.has(m.user));
  const absent = away.map((m) => m.user).join(" ");
  useEffect(() => void people.look(absent.split(" ").filter(Boolean)), [people, absent]);
  const bans = people.bans.value;
  // One menu for all: who comes or goes while it is open changes places, and would take a menu of his own with him.
  const [chosen, choose] = useState<string>();
  const subject = all.find((m) => m.user === chosen);
  if (chosen !== undefined && !subject) choose(undefined); // who is back later does not find it open
  const group = { chosen, choose };
  return (
    <aside class="persons" aria-label="People">
      <div class="sidehead">
        <h2>People</h2>
        <span class="quiet small number">{people.info.value?.count ?? ""}</span>
        <button type="button" class="bare narrow" title="Close" onClick={close}>
          <Icon name="close" label="Close" size={20} />
        </button>
      </div>
      <div class="places">
        <Group name="Here" members={here} online {...group} />
        <Group name="Away" members={away} {...group} />
        {people.more.value && (
          <button type="button" class="pad" onClick={() => void people.loadMore().catch((e: Error) => view.thread.complain(e.message))}>
            Show more
          </button>
        )}
        {bans.length > 0 && rank(people.role.value) >= 2 && (
          <>
            <h3 class="quiet">Banned</h3>
            <ul>
              {bans.map((user) => (
                <li key={user} class="person">
                  <Avatar user={user} small /> <Name user={user} />
                  <button type="button" class="bare small" onClick={() => void view.thread.ask({ do: "unban", user })}>
                    Lift
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
      {subject && (
        <MenuList
          key={subject.user}
          label={whatToDo(subject.user)}
          actions={actions(view, subject)}
          button={() => document.getElementById(rowOf(subject.user))?.querySelector("button") ?? null}
          close={() => choose((now) => (now === subject.user ? undefined : now))}
        />
      )}
    </aside>
  );
}

interface Choice {
  /** Whose menu is open. */
  chosen: string | undefined;
  choose(user: string | undefined): void;
}

function Group({ name, members, online = false, ...choice }: Choice & { name: string; members: readonly Member[]; online?: boolean }): JSX.Element | null {
  if (!members.length) return null;
  return (
    <>
      <h3 class="quiet">
        {name} <span class="number">{members.length}</span>
      </h3>
      <ul>
        {members.map((m) => (
          <Person key={m.user} member={m} online={online} {...choice} />
        ))}
      </ul>
    </>
  );
}

const rowOf = (user: string): string => `person-${user}`;
const whatToDo = (user: string): string => `What to do with ${nameOf(user)}`;

function Person({ member: m, online, chosen, choose }: Choice & { member: Member; online: boolean }): JSX.Element {
  const { people, user } = useView().thread;
  const seen = people.seen.value.get(m.user);
  const you = m.user === user;
  const muted = (m.muted ?? 0) > Date.now();
  const open = chosen === m.user;
  return (
    <li class="person" id={rowOf(m.user)}>
      <Avatar user={m.user} small online={online} />
      <span class="who">
        <Name user={m.user} you={you} />
        {!online && !you && <span class="tiny quiet">{seen?.online ? "elsewhere" : seen?.last ? ago(seen.last) : ""}</span>}
        {muted && <span class="tiny quiet">muted for {span(m.muted! - Date.now())}</span>}
      </span>
      {m.role !== "member" && <Icon name={m.role === "owner" ? "crown" : "shield"} label={m.role} />}
      {!you && <MenuButton label={whatToDo(m.user)} open={open} onClick={() => choose(open ? undefined : m.user)} />}
    </li>
  );
}

function actions(view: View, m: Member): Action[] {
  const { thread } = view;
  const { user } = m;
  const info = thread.people.info.peek();
  const mine = info?.role;
  const list: Action[] = [];
  if (!info?.direct) list.push({ name: "Write to", icon: "chat", run: () => void view.direct(user) });
  list.push({ name: "Mention", icon: "at", run: () => view.insert(`@${nameOf(user)} `, user) });
  const above = info?.direct || (rank(mine) >= 2 && rank(mine) > rank(m.role));
  if (!above) return list;
  if ((m.muted ?? 0) > Date.now()) list.push({ name: "Unmute", icon: "mute", run: () => void thread.ask({ do: "unmute", user }) });
  else for (const [name, ms] of mutes) list.push({ name: `Mute for ${name}`, icon: "mute", run: () => void thread.ask({ do: "mute", user, ms }) });
  if (info?.direct) return list;
  if (mine === "owner") {
    const roles: Role[] = ["member", "moderator", "owner"];
    for (const role of roles.filter((r) => r !== m.role)) {
      list.push({ name: `Make ${role}`, icon: role === "owner" ? "crown" : "shield", run: () => void thread.ask({ do: "role", user, role }) });
    }
  }
  list.push({ name: "Remove", icon: "leave", danger: true, run: () => void thread.ask({ do: "kick", user }) });
  list.push({ name: "Ban", icon: "ban", danger: true, run: () => void thread.ask({ do: "ban", user }) });
  return list;
}
