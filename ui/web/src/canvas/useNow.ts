import { useEffect, useState } from "react";

/** Seconds since 1970, told twice a second while it matters. */
export function useNow(ticks: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!ticks) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 500);
    return () => clearInterval(timer);
  }, [ticks]);
  return now;
}
