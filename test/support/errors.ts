import { type ErrorCode, StackError } from "../../src/index.ts";

/** What `action` throws; an error where it throws nothing, or no StackError. */
export function thrownBy(action: () => unknown): StackError {
  try {
    action();
  } catch (error) {
    if (error instanceof StackError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** The code of the StackError that `action` throws, or `"none"`. */
export function codeOf(action: () => unknown): ErrorCode | "none" {
  try {
    action();
  } catch (error) {
    if (error instanceof StackError) return error.code;
    throw error;
  }
  return "none";
}
