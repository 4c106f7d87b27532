/** Makes pictures smaller before they are sent, without what cameras write into them. */
import type { SlotOptions } from "./index";

/** A hook for `slots[…].before`; 2048 pixels wide and high at most, as JPEG of quality 0.85, unless told otherwise. */
export declare function resized(wanted?: { width?: number; height?: number; type?: string; quality?: number }): NonNullable<SlotOptions["before"]>;
