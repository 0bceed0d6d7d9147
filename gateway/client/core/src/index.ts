export type * from "./types";
export { createParser, type Frame, type Parser, type ParserEvents } from "./parse";
