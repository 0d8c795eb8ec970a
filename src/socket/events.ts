/** There is something to read, or the end of the stream has been reached. */
export const READABLE = 1;
/** A write that was cut short may be tried again. */
export const WRITABLE = 2;
/** The handshake is complete. */
export const CONNECTED = 4;
/** A listener has a connection to accept. */
export const ACCEPTABLE = 8;
/** The socket is CLOSED; its `error` says whether something went wrong. */
export const CLOSED_EVENT = 16;
/** A network error about something that was sent. */
export const ERROR = 64;
/** The peer has acknowledged our FIN, so all that was written has arrived. */
export const FINISHED = 32;
