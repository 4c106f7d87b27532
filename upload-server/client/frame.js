// @ts-check
/**
 * Between a change and its drawing, at least, in milliseconds: about a frame.
 *
 * Drawn by a timer: a hidden page gets no frames, and one that is asked for while a page changes may never come.
 */
export const FRAME_MS = 16;
