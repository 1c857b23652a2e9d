/** A thread that has only the relay. */
import { runThread } from "../../../threads/thread.ts";
import { guestKind } from "../worker_relay.ts";

runThread({ tcp: () => Promise.resolve(guestKind) });
