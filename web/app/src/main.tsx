import type { JSX } from "preact";
import { render } from "preact";
import "./style/tokens.css";
import "./style/base.css";
import "./style/wire.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/chat.css";
import "./style/thread.css";
import "./style/start.css";
import { ChatPage } from "./chat/page.js";
import { lazy } from "./lazy.js";
import { guest } from "./link.js";
import { path } from "./router.js";
import { Shell, SignIn } from "./shell.js";
import { StartPage } from "./start.js";
import { keepTitle } from "./title.js";

const ChessPage = lazy(() => import("./chess/page.js").then((m) => m.ChessPage));

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
