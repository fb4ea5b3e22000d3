// @vitest-environment happy-dom
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { expect, onTestFinished, test } from "vitest";
import { useChannel, useConnection, usePresence } from "../src/react.js";
import { client, serve, until } from "./server.js";

test("the hooks show the line, the messages before and after, and who is there", async () => {
  const server = await serve({ flags: ["--set", "namespaces.demo.presence=true"] });
  const [a, b] = [client(server.url), client(server.url)];
  await b.channel<string>("demo:lobby").publish("before");
  function View() {
    const { state } = useConnection(a);
    const { messages } = useChannel<string>(a, "demo:lobby");
    const { members } = usePresence(a, "demo:lobby");
    return <p>{`${state}: ${messages.map((m) => m.data).join(",")}; ${members.length} there`}</p>;
  }
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false });
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  root.render(<StrictMode><View /></StrictMode>);
  onTestFinished(() => root.unmount());
  await until(() => place.textContent!.startsWith("connected: before;"));
  await b.channel<string>("demo:lobby").publish("after");
  await until(() => place.textContent!.startsWith("connected: before,after;"));
  await until(() => place.textContent!.endsWith("1 there"));
  await a.disconnect({ clean: false });
  await until(() => place.textContent!.startsWith("disconnected:"));
  await b.channel<string>("demo:lobby").publish("missed");
  a.connect();
  await until(() => place.textContent!.startsWith("connected: before,after,missed;"));
  expect(a.stats.gaps).toBe(0);
  root.render(<p>gone</p>);
  await until(() => a.channel("demo:lobby").state === "idle");
});
