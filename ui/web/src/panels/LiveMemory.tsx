/** The memory of the machine and of each worker, as it is now; asked every few seconds while somebody looks. */
import { useEffect, useState } from "react";
import { bytes } from "../drawing/format";
import { api } from "../server/api";
import type { Memory } from "../server/types";

const EVERY = 2000; // milliseconds

export function LiveMemory() {
  const [memory, setMemory] = useState<Memory | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const look = () => {
      const asked = document.hidden ? Promise.resolve(null) : api.memory().catch(() => null);
      void asked.then((found) => {
        if (gone) return;
        if (found) setMemory(found);
        timer = setTimeout(look, EVERY);
      });
    };
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  if (!memory) return null;
  return (
    <section className="live-memory" aria-label="Memory now">
      {memory.total !== null && memory.free !== null ? (
        <Gauge name="Memory" used={memory.total - memory.free} total={memory.total} />
      ) : null}
      {memory.workers.map((worker) => (
        <div key={worker.device}>
          {worker.total !== null && worker.free !== null ? (
            <Gauge name={worker.device} used={worker.total - worker.free} total={worker.total} />
          ) : null}
          {worker.resident === null ? null : (
            <p>
              worker {worker.device} <b>{bytes(worker.resident)}</b>
              {worker.used === null ? null : `, ${bytes(worker.used)} of tensors on its device`}
            </p>
          )}
        </div>
      ))}
    </section>
  );
}

function Gauge({ name, used, total }: { name: string; used: number; total: number }) {
  return (
    <label className="memory-gauge">
      <span>{name}</span>
      <meter min={0} max={total} high={0.9 * total} value={used} />
      <b>
        {bytes(used)} of {bytes(total)}
      </b>
    </label>
  );
}
