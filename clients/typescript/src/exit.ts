// Sends what is waiting before a process ends, and lets it end as it would without us.

import process from "node:process";
import type { Leaver } from "./platform.js";

interface Shared {
  leavers: Set<Leaver>;
}

// One for the process, however many clients there are, and even if the package is loaded twice (as ES modules and as CommonJS): two
// listeners of SIGTERM would each take the other for one of the application's.
const SHARED = Symbol.for("@mlops-service/client.exit");

function shared(): Shared {
  const globals = globalThis as unknown as Record<symbol, Shared | undefined>;
  return (globals[SHARED] ??= listen({ leavers: new Set() }));
}

export function atExit(leaver: Leaver): () => void {
  const { leavers } = shared();
  leavers.add(leaver);
  return () => void leavers.delete(leaver);
}

function listen(state: Shared): Shared {
  const leave = () => Promise.allSettled([...state.leavers].map((leaver) => leaver.leave()));

  const onSigterm = () => {
    // Out of the way first, so that others who count the listeners, or a second signal, find what they would find without us.
    process.removeListener("SIGTERM", onSigterm);
    const alone = process.listenerCount("SIGTERM") === 0;
    void leave().then(() => {
      // With no other listener the signal would have ended the process, so now it does.
      if (alone && process.listenerCount("SIGTERM") === 0) {
        for (const leaver of state.leavers) leaver.exit();
        process.kill(process.pid, "SIGTERM");
      } else process.prependListener("SIGTERM", onSigterm);
    });
  };

  process.on("beforeExit", () => void leave());
  process.on("exit", () => {
    for (const leaver of state.leavers) leaver.exit();
  });
  // First, because an application's listener that is called once is gone from the count when it was called before.
  process.prependListener("SIGTERM", onSigterm);
  return state;
}
