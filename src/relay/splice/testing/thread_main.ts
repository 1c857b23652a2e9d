/** A thread that has only the relay. */
import { runThread } from "../../../threads/thread.ts";
import { relayShard } from "../worker_relay.ts";

runThread({ tcp: () => Promise.resolve(relayShard) });
