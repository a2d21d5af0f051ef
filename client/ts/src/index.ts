/**
 * A client of Flawless for applications: starts workflows, waits for them, sends them messages and follows them.
 * @module
 */
export type * as api from "./api.js";
export type { Doubt, Failure, Fault, Record as LogRecord, Resolve, Schedule, SetSchedule, Status } from "./api.js";
export { type Change, Client, type Filter, type State } from "./client.js";
export type { CallOptions, Options, Query } from "./connection.js";
export { type Code, FlawlessError, Lost, Refused, RunEnded, TimedOut, Unreachable, Unresolved } from "./error.js";
export { type MessageOptions, type Run, type RunHandle, type StartedRun, type Word } from "./run.js";
export type { ScheduleHandle } from "./schedule.js";
export { type StartOptions, type WorkflowHandle } from "./workflow.js";
