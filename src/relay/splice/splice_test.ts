import { relayContract } from "../testing/contract.ts";
import { spliceRelay } from "./splice.ts";

relayContract("splice", spliceRelay);
