import { effect } from "@preact/signals";
import { type JSX, render } from "preact";
import "./style/tokens.css";
import "./style/base.css";
import "./style/wire.css";
import "./style/shell.css";
import "./style/parts.css";
import { lazy } from "./lazy.js";
import { guest, state } from "./link.js";
import { path } from "./router.js";
import { Shell, SignIn } from "./shell.js";
import { keepTitle } from "./title.js";

const StartPage = lazy(() => import("./start.js").then((m) => m.StartPage), "main");
const ChatPage = lazy(() => import("./chat/page.js").then((m) => m.ChatPage), "main");
const ChessPage = lazy(() => import("./chess/page.js").then((m) => m.ChessPage), "main");

const countLater = 1500; // ms

/** The page of an address; whoever wants more than the first one has to have a name. */
function pageOf(address: string): JSX.Element {
  const within = (place: string) => address === place || address.startsWith(place + "/");
  if (!within("/chat") && !within("/chess")) return <StartPage />;
  if (!guest.value) return <SignIn />;
  return within("/chess") ? <ChessPage /> : <ChatPage />;
}

function App(): JSX.Element {
  return <Shell>{pageOf(path.value)}</Shell>;
}

keepTitle();
const root = document.getElementById("app");
if (root) render(<App />, root);

// The title counts what is unread in chat on every page. Nobody waits for that: it comes when the page is there.
effect(() => {
  if (state.value !== "connected") return;
  const t = setTimeout(() => void import("./chat/chat.js").catch(() => {}), countLater); // without it nothing is counted
  return () => clearTimeout(t);
});
