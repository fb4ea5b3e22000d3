import { Component, type JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { Avatar, Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { nameOf } from "../names.js";
import type { Said } from "./fold.js";
import { rank } from "./people.js";
import { Picker } from "./picker.js";
import { Text } from "./text.js";
import { useView, type View } from "./view.js";
import { briefTime, fullTime, span, timeOf } from "./when.js";

interface Props {
  said: Said;
  first: boolean;
  quoted: Said | undefined;
  active: boolean;
  marked: boolean;
  view: View;
}

/** One message. Drawn again only when something of it changed. */
export class Line extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    const p = this.props;
    return p.said !== next.said || p.first !== next.first || p.quoted !== next.quoted || p.active !== next.active || p.marked !== next.marked;
  }

  render({ said, first, quoted, active, marked, view }: Props): JSX.Element {
    const me = view.thread.user;
    const classes = ["said", said.state];
    if (first) classes.push("first");
    if (marked) classes.push("marked");
    if (said.mentions.includes(me)) classes.push("forme");
    return (
      <li
        class={classes.join(" ")}
        data-key={said.key}
        data-offset={said.offset || undefined}
        tabIndex={active ? 0 : -1}
        aria-busy={said.state === "sending"}
      >
        {first ? <Avatar user={said.user} /> : <time class="gutter tiny quiet">{timeOf(said.time)}</time>}
        <div class="body">
          {first && (
            <div class="head">
              <Name user={said.user} you={said.user === me} />
              <time class="tiny quiet" dateTime={new Date(said.time).toISOString()} title={fullTime(said.time)}>
                {timeOf(said.time)}
              </time>
            </div>
          )}
          {said.replyTo !== undefined && !said.deleted && <Quote of={said.replyTo} said={quoted} view={view} />}
          {said.deleted ? <p class="text gone quiet">This message was deleted.</p> : <Text text={said.text} mentions={said.mentions} me={me} />}
          {said.edited && <span class="tiny quiet">edited</span>}
          {said.reactions.size > 0 && <Reactions said={said} view={view} />}
          {said.state === "refused" && <Refused said={said} />}
        </div>
        {said.state === "sending" && (
          <span class="pending quiet" title="On its way">
            <Icon name="clock" label="On its way" />
          </span>
        )}
        {active && said.state === "sent" && !said.deleted && <Tools said={said} />}
      </li>
    );
  }
}

function Quote({ of, said, view }: { of: number; said: Said | undefined; view: View }): JSX.Element {
  return (
    <button type="button" class="quote small" onClick={() => view.jump(of)}>
      <Icon name="reply" />
      {said ? (
        <>
          <b>{nameOf(said.user)}</b> <span dir="auto">{said.deleted ? "deleted" : said.text}</span>
        </>
      ) : (
        <span>an earlier message</span>
      )}
    </button>
  );
}

function Reactions({ said, view }: { said: Said; view: View }): JSX.Element {
  const me = view.thread.user;
  return (
    <ul class="reactions" aria-label="Reactions">
      {[...said.reactions].map(([emoji, users]) => (
        <li key={emoji}>
          <button type="button" class="small" aria-pressed={users.includes(me)} title={users.map(nameOf).join(", ")} onClick={() => view.react(said, emoji)}>
            {emoji} <span class="number">{users.length}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** What can be done with a message that did not get through. */
function Refused({ said }: { said: Said }): JSX.Element {
  const view = useView();
  const until = view.thread.outgoing.waits(said.key);
  const [, again] = useState(0);
  const left = until - Date.now();
  if (left > 0) setTimeout(() => again(Date.now()), Math.min(left, 1000));
  const why = said.why ?? "";
  return (
    <p class="refusal small" role="alert">
      <Icon name="warn" /> <span>Not sent: {why}{left > 0 ? ` (${span(left)})` : ""}</span>
      <button type="button" class="bare" disabled={left > 0} onClick={() => view.retry(said)}>
        Send again
      </button>
      <button type="button" class="bare" onClick={() => view.takeBack(said)}>
        Edit
      </button>
      <button type="button" class="bare" onClick={() => view.discard(said)}>
        Discard
      </button>
    </p>
  );
}

/** What can be done with a message. */
function Tools({ said }: { said: Said }): JSX.Element {
  const view = useView();
  const button = useRef<HTMLButtonElement>(null);
  const [picking, setPicking] = useState(false);
  const [asked, setAsked] = useState(false); // whether it shall really be deleted
  const people = view.thread.people;
  const mine = said.user === view.thread.user;
  const member = people.role.value !== undefined;
  const mayDelete = mine || (rank(people.role.value) >= 2 && rank(people.members.value.get(said.user)?.role) < rank(people.role.value));
  return (
    <div class="tools" role="toolbar" aria-label={`Message of ${nameOf(said.user)}, ${briefTime(said.time)}`}>
      {member && (
        <>
          <button ref={button} type="button" class="bare" title="React (+)" data-does="react" onClick={() => setPicking(true)}>
            <Icon name="smile" label="React" />
          </button>
          <button type="button" class="bare" title="Reply (R)" onClick={() => view.reply(said)}>
            <Icon name="reply" label="Reply" />
          </button>
        </>
      )}
      {mine && (
        <button type="button" class="bare" title="Edit (E)" onClick={() => view.edit(said)}>
          <Icon name="edit" label="Edit" />
        </button>
      )}
      <button type="button" class="bare" title="Copy the link (L)" onClick={() => void view.link(said)}>
        <Icon name="link" label="Copy the link" />
      </button>
      {mayDelete && (
        <button
          type="button"
          class="bare danger"
          title="Delete (Del)"
          data-does="delete"
          onClick={() => (asked ? view.remove(said) : setAsked(true))}
          onBlur={() => setAsked(false)}
        >
          <Icon name="trash" />
          <span class={asked ? "small" : "hidden"}>{asked ? "Delete for good" : "Delete"}</span>
        </button>
      )}
      {picking && button.current && <Picker button={button.current} pick={(emoji) => view.react(said, emoji)} close={() => setPicking(false)} />}
    </div>
  );
}
