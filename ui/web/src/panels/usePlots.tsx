/** The plots that a picture carries, to be looked into in its place; what draws them comes when it is wanted. */
import { useEffect, useState, type ReactNode } from "react";
import { api } from "../server/api";

/** null as long as they are not there: the picture is shown then. path: null asks for none. */
export function usePlots(path: string | null): ReactNode {
  const [found, setFound] = useState<{ path: string; drawn: ReactNode } | null>(null);
  useEffect(() => {
    if (path === null) return undefined;
    let current = true;
    const look = async () => {
      const plots = await api.plots(path);
      if (plots.length === 0) return;
      const { default: Plots } = await import("./plot/Plots");
      if (current) setFound({ path, drawn: <Plots plots={plots} /> });
    };
    look().catch(() => undefined); // the picture shows it, too
    return () => {
      current = false;
    };
  }, [path]);
  return found !== null && found.path === path ? found.drawn : null;
}
