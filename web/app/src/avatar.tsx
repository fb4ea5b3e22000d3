import type { JSX } from "preact";
import { hueOf, initialsOf, nameOf, tagOf } from "./names.js";

/** Somebody's initials on a colour that is always his. `online` adds a dot; undefined: nothing is said about it. */
export function Avatar({ user, small, online }: { user: string; small?: boolean; online?: boolean | undefined }): JSX.Element {
  return (
    <span class={small ? "avatar small" : "avatar"} style={{ "--hue": hueOf(user) }} aria-hidden="true">
      {initialsOf(user)}
      {online !== undefined && <i class={online ? "dot on" : "dot"} />}
    </span>
  );
}

/** Somebody's name, isolated from the direction of what stands around it. */
export function Name({ user, you }: { user: string; you?: boolean }): JSX.Element {
  const tag = tagOf(user);
  return (
    <bdi class="name" title={user}>
      {nameOf(user)}
      {you && <span class="quiet"> (you)</span>}
      {!you && tag && <span class="tag">{tag}</span>}
    </bdi>
  );
}
