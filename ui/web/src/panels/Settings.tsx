/** The settings of this browser: colours, wires, the wheel, the language, and which keys do what. */
import { RotateCcw } from "lucide-react";
import { Fragment, useEffect, useState } from "react";
import { GROUPS, SHORTCUTS, type Shortcut } from "../canvas/shortcuts";
import { combination, keysOf, rebound, restore } from "../state/keymap";
import type { WireStyle } from "../drawing/wirePath";
import { set, useSettings, type Pointer, type Settings } from "../state/settings";
import { followSystem, say, setTheme, useUi } from "../state/ui";
import { LANGUAGES, t, tr } from "../strings";
import { Frame } from "./Frame";

export function SettingsDialog() {
  const settings = useSettings();
  const theme = useUi((state) => (state.themeChosen ? state.theme : "system"));
  return (
    <Frame title={t("Settings")} wide>
      <div className="settings-page">
        <section>
          <h3>{t("Appearance")}</h3>
          <Choice
            label={t("Theme")}
            value={theme}
            options={{ system: t("As the system"), dark: t("Dark"), light: t("Light") }}
            choose={(value) => (value === "system" ? followSystem() : setTheme(value))}
          />
          <Choice
            label={t("Wires")}
            value={settings.wires}
            options={wireNames()}
            choose={(wires) => set({ wires })}
          />
          <Choice
            label={t("Language")}
            value={settings.language}
            options={{ auto: t("Automatic"), ...LANGUAGES }}
            choose={(language) => set({ language })}
          />
        </section>
        <section>
          <h3>{t("Mouse and trackpad")}</h3>
          <Choice
            label={t("Two fingers or the wheel")}
            value={settings.pointer}
            options={pointerNames()}
            choose={(pointer) => set({ pointer })}
          />
          <p className="quiet">{t("Space and a drag move the sheet everywhere.")}</p>
        </section>
        <Keymap settings={settings} />
        <p className="quiet">{t("These settings are kept in this browser.")}</p>
      </div>
    </Frame>
  );
}

const wireNames = (): Record<WireStyle, string> => ({
  curved: t("Curved"),
  straight: t("Straight"),
  stepped: t("Stepped"),
});
const pointerNames = (): Record<Pointer, string> => ({
  auto: t("Automatic"),
  mouse: t("Mouse: the wheel zooms"),
  trackpad: t("Trackpad: two fingers move, pinching zooms"),
});

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: Readonly<Record<T, string>>;
  choose: (value: T) => void;
}

function Choice<T extends string>({ label, value, options, choose }: ChoiceProps<T>) {
  return (
    <label className="setting">
      <span>{label}</span>
      <select aria-label={label} value={value} onChange={(event) => choose(event.target.value as T)}>
        {(Object.entries(options) as [T, string][]).map(([own, name]) => (
          <option key={own} value={own}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Keymap({ settings }: { settings: Settings }) {
  const changed = Object.keys(settings.keys).length > 0;
  return (
    <section>
      <h3>
        {t("Keys")}
        {changed ? (
          <button className="small-button" onClick={() => restore()}>
            {t("All keys as they were")}
          </button>
        ) : null}
      </h3>
      <p className="quiet">{t("Press the new keys; Escape leaves it as it was.")}</p>
      <div className="keymap">
        {GROUPS.map((group) => (
          <table key={group} aria-label={tr(group)}>
            <tbody>
              {SHORTCUTS.filter((own) => own.group === group).map((own) => (
                <Row key={own.label} shortcut={own} settings={settings} />
              ))}
            </tbody>
          </table>
        ))}
      </div>
    </section>
  );
}

function Row({ shortcut, settings }: { shortcut: Shortcut; settings: Settings }) {
  const [waiting, setWaiting] = useState(false);
  const { label } = shortcut;
  const keys = keysOf(shortcut, settings).map((each) => each.replace("Arrow", ""));
  const shown = waiting ? t("press keys…") : keys.join(" ") || t("none");
  useEffect(() => {
    if (!waiting) return undefined;
    const take = (event: KeyboardEvent) => {
      event.preventDefault();
      event.stopPropagation();
      const pressed = combination(event);
      if (pressed === null) return;
      setWaiting(false);
      if (pressed !== "Escape") give(label, pressed);
    };
    addEventListener("keydown", take, true);
    return () => removeEventListener("keydown", take, true);
  }, [waiting, label]);
  return (
    <tr>
      <th scope="row">{tr(label)}</th>
      <td>
        <button
          className="keys"
          aria-label={`${t("Change the keys of {what}", { what: tr(label) })}: ${shown}`}
          onClick={() => setWaiting(true)}
          onBlur={() => setWaiting(false)}
        >
          {waiting || keys.length === 0
            ? shown
            : keys.map((each, i) => (
                <Fragment key={each}>
                  {i > 0 ? " " : ""}
                  <kbd>{each}</kbd>
                </Fragment>
              ))}
        </button>
        {label in settings.keys ? (
          <button
            className="field-button"
            aria-label={`${t("Back to the original keys")}: ${tr(label)}`}
            data-tip={`text|${t("Back to the original keys")}`}
            onClick={() => restore(label)}
          >
            <RotateCcw size={12} />
          </button>
        ) : null}
      </td>
    </tr>
  );
}

function give(label: string, keys: string): void {
  const next = rebound(SHORTCUTS, useSettings.getState(), label, keys);
  if (!next) {
    say(t("{keys} belongs to the browser's clipboard", { keys }), "bad");
    return;
  }
  set({ keys: next.keys });
  if (next.from) say(t("{keys} was taken from “{what}”", { keys, what: tr(next.from) }));
}
