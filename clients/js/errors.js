/*
 * What is thrown when something fails: a word, and the status of HTTP if there
 * was one.
 */

export class CometaError extends Error {

    constructor(error, status = 0, { detail, retryAfter, cause } = {}) {
        super((status ? `${status} ${error}` : error)
            + (detail ? `: ${detail}` : ''), { cause });

        this.name = 'CometaError';
        this.error = error;
        this.status = status;
        this.detail = detail;
        this.retryAfter = retryAfter;
    }
}


/* The error of an answer; one that is not the module's has the word "http". */

export function refused(status, retryAfter, body) {
    let answer;

    try {
        answer = JSON.parse(body);
    } catch {
        answer = null;
    }

    return new CometaError(String(answer?.error ?? 'http'), status, {
        detail: answer?.hint,
        retryAfter: /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter)
            : undefined
    });
}
