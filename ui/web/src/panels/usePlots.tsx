/** The plots that a picture carries, to be looked into in its place; what draws them comes when it is wanted. */
import { lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import { api } from "../server/api";
import type { Plot } from "../server/types";

const Plots = lazy(() => import("./plot/Plots"));

/** null as long as there are none: the picture is shown then. path: null asks for none. */
export function usePlots(path: string | null, picture: ReactNode = null): ReactNode {
  const [found, setFound] = useState<{ path: string; plots: readonly Plot[] } | null>(null);
  useEffect(() => {
    if (path === null) return undefined;
    let current = true;
    api.plots(path).then(
      (plots) => current && setFound({ path, plots }),
      () => undefined, // the picture shows it, too
    );
    return () => {
      current = false;
    };
  }, [path]);
  if (found === null || found.path !== path || found.plots.length === 0) return null;
  return (
    <Suspense fallback={picture}>
      <Plots plots={found.plots} />
    </Suspense>
  );
}
