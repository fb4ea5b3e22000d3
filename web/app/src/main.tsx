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
import { guest } from "./link.js";
import { path } from "./router.js";
import { Shell, SignIn } from "./shell.js";
import { StartPage } from "./start.js";
import { keepTitle } from "./title.js";

function App(): JSX.Element {
  if (!path.value.startsWith("/chat")) return <Shell><StartPage /></Shell>;
  return <Shell>{guest.value ? <ChatPage /> : <SignIn />}</Shell>;
}

keepTitle();
const root = document.getElementById("app");
if (root) render(<App />, root);
