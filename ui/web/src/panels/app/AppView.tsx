/** The app view: the exposed parameters as fields, and the results beside them, for who wants to see no nodes. */
import { Moon, PencilRuler, Sun } from "lucide-react";
import { useEffect } from "react";
import { isPressed, RUN } from "../../canvas/shortcuts";
import { runApp, useApp } from "../../state/app";
import { activeOf, nameOf, useDocuments } from "../../state/documents";
import { languageOf, useSettings } from "../../state/settings";
import { setTheme, useUi } from "../../state/ui";
import { t } from "../../strings";
import { IconButton } from "../../widgets/IconButton";
import { Dialogs } from "../Dialogs";
import { Mark } from "../Mark";
import { Offline } from "../Offline";
import { Hints, Toasts } from "../Overlays";
import { AppForm } from "./AppForm";
import { AppResults } from "./AppResults";

export function AppView({ path }: { path: string }) {
  const trouble = useApp((state) => state.trouble);
  const isOpen = useDocuments((state) => activeOf(state).file.path !== "");
  const language = useSettings(languageOf);
  useEffect(() => {
    const down = (event: KeyboardEvent) => {
      if (event.defaultPrevented || !isPressed(event, RUN)) return;
      event.preventDefault();
      void runApp();
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
  return (
    <div className="app" key={language}>
      <AppBar path={path} />
      {isOpen ? (
        <main className="app-body" aria-label={t("App view")}>
          <AppForm />
          <AppResults />
        </main>
      ) : (
        <main className="app-body">
          <p className="nothing">{trouble || t("Loading…")}</p>
        </main>
      )}
      <Offline />
      <Dialogs />
      <Toasts />
      <Hints />
    </div>
  );
}

function AppBar({ path }: { path: string }) {
  const theme = useUi((state) => state.theme);
  const name = useDocuments((state) => nameOf(activeOf(state)));
  return (
    <header className="topbar">
      <span className="brand">
        <Mark />
        <span>Latent Loom</span>
      </span>
      <h1 className="app-title">{name}</h1>
      <span className="grow" />
      <IconButton
        label={theme === "dark" ? "Light theme" : "Dark theme"}
        run={() => setTheme(theme === "dark" ? "light" : "dark")}
      >
        {theme === "dark" ? <Sun size={16} /> : <Moon size={16} />}
      </IconButton>
      <a className="small-button link" href={`#${encodeURI(path)}`}>
        <PencilRuler size={13} aria-hidden /> {t("Open on the canvas")}
      </a>
    </header>
  );
}
