import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Avatar } from "./avatar.js";
import { chat as chatNow } from "./chat/chat.js";
import { Foot } from "./chat/foot.js";
import { Scroll } from "./chat/scroll.js";
import { sentence } from "./chat/thread.js";
import { View, ViewContext } from "./chat/view.js";
import type { Chat } from "./chat/chat.js";
import type { Live } from "./chess/records.js";
import { rows as rowsOf } from "./chess/rows.js";
import { Icon } from "./icons.js";
import { guest, signIn, signOut } from "./link.js";
import { lobby, nameOf, pathOf } from "./names.js";
import { follow } from "./router.js";
import { Skeleton } from "./skeleton.js";
import "./style/chat.css";
import "./style/thread.css";
import "./style/start.css";

const birds = ["Wren", "Heron", "Finch", "Plover", "Swift", "Lark", "Robin", "Siskin", "Kestrel", "Dipper", "Curlew", "Linnet"];

/** The first page: what this is, working. */
export function StartPage(): JSX.Element {
  const chat = chatNow.value;
  const problem = useSignal("");
  useEffect(() => {
    if (guest.value) return;
    // Nobody should have to introduce himself to see that it works: a name can be chosen afterwards.
    signIn(birds[Math.floor(Math.random() * birds.length)]!).catch((e: Error) => (problem.value = e.message));
  }, [guest.value]);
  return (
    <main class="start">
      <section class="pitch">
        <h1>Rooms full of people, in sync, and nothing lost when a line breaks.</h1>
        <p class="quiet">
          The strip above is your own connection. Open it, cut your line, let others write meanwhile, and mend it: what you missed arrives, once and in order.
        </p>
        <Commands />
        <Tiles chat={chat} />
      </section>
      <section class="here" aria-label="A room to try">
        {chat ? <Lobby chat={chat} /> : <div class="empty">{problem.value ? <p class="problem">{problem.value}</p> : <Skeleton lines={6} />}</div>}
      </section>
      <Figures />
    </main>
  );
}

/** The lobby, to type into at once. */
function Lobby({ chat }: { chat: Chat }): JSX.Element {
  const problem = useSignal("");
  const joined = useSignal(false);
  useEffect(() => {
    chat.joinLobby().then(
      () => (joined.value = true),
      (e: Error) => (problem.value = sentence(e)),
    );
  }, [chat]);
  if (problem.value) return <div class="empty"><p class="problem">{problem.value}</p></div>;
  return joined.value ? <Talk chat={chat} /> : <Skeleton lines={6} />;
}

function Talk({ chat }: { chat: Chat }): JSX.Element {
  const view = useMemo(() => new View(chat, chat.thread(lobby)), [chat]);
  const { thread } = view;
  const here = [...thread.people.online.value];
  return (
    <ViewContext.Provider value={view}>
      <header class="roomhead">
        <Icon name="hash" size={20} />
        <h2>Lobby</h2>
        <span class="faces" title={here.map(nameOf).join(", ")}>
          {here.slice(0, 5).map((u) => (
            <Avatar key={u} user={u} small />
          ))}
        </span>
        <span class="quiet small number">{thread.people.onlineCount.value} here</span>
        <a class="button small" href={pathOf(lobby)} onClick={follow}>
          Open Chat
        </a>
      </header>
      {thread.status.value === "open" ? <Scroll view={view} seen={() => {}} /> : <Skeleton lines={6} />}
      <Foot />
      <p class="tiny quiet you">
        You are {guest.value?.name}.{" "}
        <a href="/chat" class="textual" onClick={(e) => { signOut(); follow(e); }}>
          Choose another name
        </a>
      </p>
    </ViewContext.Provider>
  );
}

/** How to have it, and how to see the same room from a shell. */
function Commands(): JSX.Element {
  const url = location.port === "8000" ? "" : ` --url ${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  return (
    <dl class="commands">
      <dt class="small quiet">Run your own</dt>
      <dd>
        <code>go run ./cmd/carillon dev</code>
      </dd>
      <dt class="small quiet">Read this room from a shell</dt>
      <dd>
        <code>carillon sub chat:lobby{url}</code>
      </dd>
    </dl>
  );
}

/** The applications, as they are this moment. */
function Tiles({ chat }: { chat: Chat | undefined }): JSX.Element {
  useEffect(() => chat?.directory.watch(), [chat]);
  const rooms = chat?.directory.busiest.value.slice(0, 3) ?? [];
  const mine = chat?.rooms.all.value;
  const games = useGames();
  return (
    <div class="tiles">
      <a class="tile" href="/chat" onClick={follow}>
        <h2>
          <Icon name="chat" size={20} /> Chat
        </h2>
        <p class="small quiet">Rooms, conversations, moderation</p>
        <ul class="small">
          {rooms.map((r) => (
            <li key={r.room}>
              <Icon name="hash" />
              <bdi class="title">{r.title}</bdi>
              <bdi class="quiet preview">{mine?.get(r.room)?.preview}</bdi>
              <span class="number quiet">{r.members}</span>
            </li>
          ))}
        </ul>
      </a>
      <a class="tile" href="/chess" onClick={follow}>
        <h2>
          <Icon name="chess" size={20} /> Chess
        </h2>
        <p class="small quiet">Clocks, ratings, an archive, spectators</p>
        <ul class="small">
          {games.map((g) => (
            <li key={g.game}>
              <Icon name="eye" />
              <bdi class="preview">
                {nameOf(g.white.user)} – {nameOf(g.black.user)}
              </bdi>
              <span class="number quiet">
                {g.base / 60}+{g.inc}
              </span>
            </li>
          ))}
        </ul>
      </a>
    </div>
  );
}

const gamesShown = 3;

/** Some games going on, looked up once: it is a glimpse, not a lobby. */
function useGames(): readonly Live[] {
  const games = useSignal<readonly Live[]>([]);
  useEffect(() => {
    if (!guest.value) return;
    rowsOf<Live>("live", [], { limit: gamesShown }).then(
      (page) => (games.value = page.rows),
      () => {}, // without them the tile still leads to the lobby
    );
  }, [guest.value]);
  return games.value;
}

const figures = [
  { value: "3.85 M", says: "deliveries a second to 5,000 subscribers, on two cores with the clients beside it", by: "carillon bench fanout --rate 800 --duration 5s --flood" },
  { value: "0", says: "of 1,000,000 records lost or doubled when 5,000 lines were cut for two seconds", by: "carillon bench flap --duration 3s" },
  { value: "6.96 KB", says: "of memory for each of 15,000 idle connections, subscribed", by: "carillon bench idle --conns 15000 --duration 5s" },
];

/** Three figures, each with the command that measures it. */
function Figures(): JSX.Element {
  return (
    <section class="figures" aria-label="Measured">
      {figures.map((f) => (
        <figure key={f.value}>
          <b class="number">{f.value}</b>
          <figcaption class="small">
            {f.says}
            <code class="tiny quiet">{f.by}</code>
          </figcaption>
        </figure>
      ))}
      <p class="tiny quiet">Measured on two cores on 22 November 2026. How, and where it does less well than others: docs/benchmarks.md in the sources.</p>
    </section>
  );
}
