import type { CarillonError } from "@carillon/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Icon, type IconName } from "../icons.js";
import { Skeleton } from "../skeleton.js";
import type { Chat } from "./chat.js";
import { Foot } from "./foot.js";
import { Head } from "./head.js";
import { Persons } from "./persons.js";
import { unreadOf } from "./rooms.js";
import { Scroll } from "./scroll.js";
import { sentence } from "./thread.js";
import { useView, View, ViewContext } from "./view.js";

/** One room: its messages in the middle, its people on the right. */
export function Room({ chat, name, offset }: { chat: Chat; name: string; offset: number | undefined }): JSX.Element {
  const view = useMemo(() => new View(chat, chat.thread(name)), [chat, name]);
  const wide = useMemo(() => matchMedia("(min-width: 1080px)"), []);
  const people = useSignal(wide.matches);
  const { thread } = view;
  const status = thread.status.value;

  useEffect(() => {
    const fit = () => (people.value = wide.matches); // a list beside the messages may stay open, one above them may not
    wide.addEventListener("change", fit);
    return () => wide.removeEventListener("change", fit);
  }, [wide]);
  useEffect(() => {
    view.marked.value = offset ?? 0;
  }, [view, offset]);
  useEffect(() => {
    // The line of the unread stands where one had read up to when one came, or looked away.
    const place = () => {
      const r = chat.rooms.all.peek().get(name);
      if (r && r.read > 0 && unreadOf(r) > 0) view.unreadAfter.value = r.read;
    };
    const ready = chat.rooms.ready.subscribe((is) => is && place());
    const hidden = () => {
      if (document.hidden) view.unreadAfter.value = chat.rooms.all.peek().get(name)?.read;
      else seen();
    };
    document.addEventListener("visibilitychange", hidden);
    return () => {
      ready();
      document.removeEventListener("visibilitychange", hidden);
    };
  }, [view]);

  const seen = (): void => {
    if (document.hidden) return;
    const last = thread.entries.findLast((e) => e.kind === "said" && e.n > 0);
    if (last?.kind === "said") chat.rooms.read(name, last.n);
  };

  return (
    <ViewContext.Provider value={view}>
      <section class="room" aria-label="Room">
        <Head people={people.value} toggle={() => (people.value = !people.value)} />
        {status === "open" && <Scroll key={name} view={view} seen={seen} />}
        {status === "open" && <Empty />}
        {status === "loading" && <Skeleton lines={9} />}
        {status === "away" && <Away error={thread.problem.value} />}
        <Foot key={name} />
        <Herald />
      </section>
      {people.value && status === "open" && <Persons close={() => (people.value = false)} />}
    </ViewContext.Provider>
  );
}

function Empty(): JSX.Element | null {
  const { thread } = useView();
  thread.version.value;
  if (thread.outgoing.list.length || !thread.atStart.value || thread.entries.some((e) => e.kind === "said")) return null;
  return (
    <div class="empty">
      <Icon name="chat" size={20} />
      <h2>Nothing was said here yet</h2>
      <p class="quiet small">Write the first message below. To bring somebody in, send them the address of this page.</p>
    </div>
  );
}

/** Tells those who listen instead of look what comes in. */
function Herald(): JSX.Element {
  const { thread } = useView();
  thread.version.value;
  const last = thread.entries.at(-1);
  return (
    <p class="hidden" aria-live="polite">
      {last?.kind === "said" && last.user !== thread.user && !last.deleted ? last.text : ""}
    </p>
  );
}

const icons: { [code: string]: IconName } = { banned: "ban", not_member: "lock", not_invited: "lock", forbidden: "lock", no_room: "search", full: "people" };
const titles: { [code: string]: string } = {
  banned: "You are banned from this room",
  not_member: "This room is private",
  not_invited: "This room is private",
  forbidden: "You may not read this room",
  no_room: "There is no such room",
  full: "This room is full",
};

/** Why a room cannot be read, and what can be done about it. */
function Away({ error }: { error: CarillonError | undefined }): JSX.Element {
  const view = useView();
  const { thread, chat } = view;
  const code = error?.code ?? "";
  const again = (): void => void thread.open();
  const create = (): void => {
    const title = thread.name.slice(5);
    chat.create(thread.name, title, true).catch((e: Error) => thread.complain(sentence(e)));
  };
  return (
    <div class="empty">
      <Icon name={icons[code] ?? "warn"} size={20} />
      <h2>{titles[code] ?? "This room cannot be shown"}</h2>
      <p class="quiet small">{error && sentence(error)}</p>
      {code === "no_room" && !thread.name.startsWith("chat:dm:") ? (
        <button type="button" class="primary" onClick={create}>
          Open it
        </button>
      ) : (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}
