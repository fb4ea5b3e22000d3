import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { beats, client, frames, hello, state } from "./link.js";
import { lobby, placeOf } from "./names.js";
import { path } from "./router.js";

const shownOfPosition = 8; // characters at its end; the rest is the same for all of a log

/** The channel that the page of an address is about. */
function channelOf(address: string): string {
  const [, app, place, id] = address.split("/");
  if (app === "chess") return place === "game" && id ? `chess:game:${id}` : "chess:lobby";
  return (app === "chat" && placeOf(address).channel) || lobby;
}

/** What can be said of this connection in numbers. */
export function Facts(): JSX.Element {
  const sums = useComputed(() => {
    const sum = { in: 0, out: 0 };
    for (const f of frames.value) sum[f.direction] += f.bytes;
    return sum;
  });
  beats.value; // as often as the line is measured
  const name = channelOf(path.value);
  const channel = client.value?.channel(name);
  const position = channel?.position;
  const rows: [string, string][] = [
    ["codec", "JSON"],
    ["server", hello.value?.server ?? "–"],
    ["connection", state.value === "connected" ? (hello.value?.conn ?? "–") : "none"],
    ["bytes shown", `↓ ${sums.value.in.toLocaleString("en")}  ↑ ${sums.value.out.toLocaleString("en")}`],
    [name, `${channel?.state ?? "idle"}${position ? `, at …${position.slice(-shownOfPosition)}` : ""}`],
  ];
  return (
    <dl class="facts tiny">
      {rows.map(([what, value]) => (
        <div key={what}>
          <dt class="quiet">{what}</dt>
          <dd class="number">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
