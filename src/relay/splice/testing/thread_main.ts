/** A thread that has only the relay. */
import { beThread } from "../../../threads/thread.ts";
import { guestKind } from "../worker_relay.ts";

beThread({ tcp: () => Promise.resolve(guestKind) });
