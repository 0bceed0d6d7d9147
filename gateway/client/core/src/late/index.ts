// What a page does not need for its first event, as a chunk of its own: it is
// loaded as soon as the first connection stands, and tried again when that fails,
// so that it is there before the network gets bad. What handles a lost
// connection is not in it.
import { Aside } from "./aside";
import { attach, flagged, retry } from "./attach";
import { clock, numbers } from "./beacon";
import { renew, sync } from "./change";
import { Events } from "./events";
import { catchUp, complete, ready, resume, take } from "./holes";
import { Lead } from "./lead";
import { history, publish } from "./publish";
import { tellDenied } from "./tell";

const late = {
  _Aside: Aside, _attach: attach, _flagged: flagged, _retry: retry, _clock: clock, _numbers: numbers, _renew: renew, _sync: sync, _Events: Events, _catchUp: catchUp, _complete: complete, _ready: ready, _resume: resume, _take: take, _Lead: Lead, _history: history, _publish: publish, _tellDenied: tellDenied,
};
export default late;

export type Late = typeof late;
