/** What the nodes of the run that is shown took, where it measured them and is over. */
import { create } from "zustand";
import { api } from "../server/api";
import type { Profile } from "../server/types";
import { isLive } from "./runAge";
import { useRuns } from "./runs";

interface Profiling {
  readonly run: number | null;
  readonly profile: Profile | null;
  readonly error: string;
}

const NONE: Profiling = { run: null, profile: null, error: "" };

export const useProfile = create<Profiling>()(() => NONE);

/** Ask for the profile of the run that is shown, as soon as there is one. */
export function startProfiling(): void {
  const look = () => {
    const { view, runs } = useRuns.getState();
    const shown = view.run === null ? undefined : runs[view.run];
    const wanted = shown?.profile && !isLive(shown) ? shown.run : null;
    if (wanted === useProfile.getState().run) return;
    useProfile.setState({ ...NONE, run: wanted });
    if (wanted === null) return;
    const take = (found: Partial<Profiling>) => {
      if (useProfile.getState().run === wanted) useProfile.setState(found);
    };
    api.profile(wanted).then(
      (profile) => take({ profile }),
      (error: unknown) => take({ error: error instanceof Error ? error.message : String(error) }),
    );
  };
  useRuns.subscribe(look);
  look();
}
