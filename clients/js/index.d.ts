/** What is sent as a message, an event or a reply. */
export type Data = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/**
 * What fails throws this.
 *
 * `error` is one stable word: one of the server's, or "unreachable", "closed",
 * "malformed", "overflow", "request_failed". `status` is that of HTTP, or 0.
 */
export class CometaError extends Error {
    constructor(error: string, status?: number, more?: {
        detail?: string; retryAfter?: number; cause?: unknown;
    });
    readonly error: string;
    readonly status: number;
    readonly detail?: string;
    /** Seconds, if the server has said so. */
    readonly retryAfter?: number;
}

export interface Abortable {
    signal?: AbortSignal;
}

export interface CallOptions extends Abortable {
    /** Seconds for all of it; then the error is "device_timeout". */
    timeout?: number;
    /** Seconds, of these, for a device that is offline. */
    wait?: number;
}

export type EventKind = 'data' | 'attach' | 'detach' | 'reply';

/** Something that has happened to a device. */
export interface Event {
    kind: EventKind;
    device: string;
    session?: string;
    /** Number in the session, from 1. */
    seq?: number;
    /** Of the server, such as "2026-11-26T12:00:00.000Z". */
    time?: string;
    /** Of "data" and "reply", as bytes and as text. */
    data?: Uint8Array;
    text?: string;
    /** Of "attach". */
    info?: string;
    address?: string;
    /** Of "attach" and "detach". */
    reason?: string;
    /** Of "reply": what send() has returned, and why there is no reply. */
    call?: string;
    error?: string;
}

export interface ChannelOptions extends Abortable {
    /** One device; without it all of the application. */
    device?: string;
    /** Which events are wanted; none if it is empty. */
    events?: EventKind[];
    /** Only events of devices whose ids begin so. */
    prefix?: string;
    /** Events that wait for the loop that takes them: 100,000. */
    room?: number;
}

/** An application of a server: "https://example.com/v1". */
export class Client {
    constructor(url: string | URL, application: string, secret?: string,
        options?: { headers?: Record<string, string> });

    /** The reply of a device. */
    call(device: string, message: Data, options?: CallOptions):
        Promise<Uint8Array>;
    callText(device: string, message: Data, options?: CallOptions):
        Promise<string>;

    /** Does not wait for the reply, which comes as an event "reply" with the id
     * that is returned. */
    send(device: string, message: Data,
        options?: Abortable & { wait?: number }): Promise<string>;

    /** What is known of a device. */
    device(device: string, options?: Abortable):
        Promise<Record<string, unknown>>;

    /** The ids of the devices that are attached, in their order. */
    devices(options?: Abortable & {
        prefix?: string; detail?: false; page?: number;
    }): AsyncGenerator<string, void>;
    /** With detail, for each what device() has. */
    devices(options: Abortable & {
        prefix?: string; detail: true; page?: number;
    }): AsyncGenerator<Record<string, unknown>, void>;

    /** The figures of the application. */
    stats(options?: Abortable): Promise<Record<string, string>>;

    /** Ends the connection of a device, or one session of it; the session. */
    detach(device: string, options?: Abortable & { session?: string }):
        Promise<string>;

    /** Ends those of all devices whose ids begin so, at the server's pace. */
    detachAll(options?: Abortable & { prefix?: string }):
        Promise<Record<string, unknown>>;

    /** One WebSocket for calls to all devices and their events. */
    channel(options?: ChannelOptions): Promise<Channel>;
}

/** Made by Client.channel(). Its events are taken by "for await", which ends
 * after close(), and throws when the connection is lost. */
export class Channel implements AsyncIterableIterator<Event> {
    private constructor();
    call(device: string, message: Data, options?: CallOptions):
        Promise<Uint8Array>;
    callText(device: string, message: Data, options?: CallOptions):
        Promise<string>;
    /** Calls that are under way end with "closed". */
    close(): void;
    next(): Promise<IteratorResult<Event>>;
    [Symbol.asyncIterator](): this;
}

export interface DeviceOptions {
    /** Presented as Bearer; not in a browser, which sends no headers. */
    secret?: string;
    /** What the device says of itself. */
    info?: string;
    /** Seconds to ask for. */
    heartbeat?: number;
    /** Heartbeats are answered, so that a dead server is noticed: true. */
    echo?: boolean;
    /** Calls that are handled at a time; replies keep their order: 1. */
    pipeline?: number;
    /** request() will be used. */
    requests?: boolean;
    /** Calls are strings. */
    text?: boolean;
    /** Arguments of the address, such as a token. */
    query?: Record<string, string>;
    headers?: Record<string, string>;
    /** Seconds that a wait grows to: 300. */
    retryMax?: number;
    attached?(device: Device): void;
    /** Why a connection ended, or why there is none, and the seconds until the
     * next try. "detached" is an orderly end, which may be a takeover. */
    ended?(error: CometaError, wait: number): void;
}

/** A device, over a WebSocket. */
export class Device {
    constructor(url: string | URL, application: string, device: string,
        handler: (call: any) => Data | Promise<Data>, options?: DeviceOptions);

    /** Attaches so far. */
    readonly sessions: number;
    /** Seconds, granted. */
    readonly heartbeat: number;

    /** Attaches, and again whenever the connection ends, until stop(). */
    run(): Promise<void>;
    /** Leaves when the calls that it has are answered. */
    stop(): void;
    /** Throws "closed" if the device is not attached. */
    event(data: Data): void;
    /** Asks the server's webhook. */
    request(data: Data, options?: { timeout?: number }): Promise<Uint8Array>;
}
