import type { ComponentChildren, JSX } from "preact";
import { nameOf } from "../names.js";

const address = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

/** What somebody wrote: text nodes, with addresses as links and mentions marked. */
export function Text({ text, mentions, me }: { text: string; mentions: readonly string[]; me: string }): JSX.Element {
  const parts: ComponentChildren[] = [];
  let end = 0;
  for (const m of text.matchAll(address)) {
    parts.push(...mentioned(text.slice(end, m.index), mentions, me));
    parts.push(
      <a href={m[0]} target="_blank" rel="noopener noreferrer">
        {m[0]}
      </a>,
    );
    end = m.index + m[0].length;
  }
  parts.push(...mentioned(text.slice(end), mentions, me));
  return (
    <div class="text" dir="auto">
      {parts}
    </div>
  );
}

/** Cuts a text at the names of those it mentions. */
function mentioned(text: string, mentions: readonly string[], me: string): ComponentChildren[] {
  let parts: ComponentChildren[] = text ? [text] : [];
  for (const user of mentions) {
    const name = "@" + nameOf(user);
    parts = parts.flatMap((p): ComponentChildren[] => {
      if (typeof p !== "string") return [p];
      return p.split(name).flatMap((s, i): ComponentChildren[] => (i === 0 ? [s] : [<mark class={user === me ? "me" : ""}>{name}</mark>, s]));
    });
  }
  return parts;
}
