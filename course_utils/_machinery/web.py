"""A file from the web, within a limit of time and size."""

import queue
import string
import threading
import urllib.parse
import urllib.request

SILENCE = 20  # seconds without a byte
DEADLINE = 60  # seconds for the whole of it, however slowly it drips


def fetch(url: str, limit: int) -> bytes:
    """What an ``http(s)`` address holds, up to one byte more than `limit`.

    Raises:
        ConnectionError: it could not be fetched, or not within `DEADLINE`.
    """
    answers, stop = queue.SimpleQueue(), threading.Event()

    def work() -> None:
        try:
            answers.put((_read(url, limit, stop), None))
        except Exception as error:
            answers.put((b"", error))

    # Names are looked up, and heads dripped, without any limit of their own. Only another
    # thread can be waited for that long and no longer.
    threading.Thread(target=work, daemon=True).start()
    try:
        data, error = answers.get(timeout=DEADLINE)
    except queue.Empty:
        words = f"{url} could not be fetched within {DEADLINE} seconds"
        raise ConnectionError(f"{words}; download it yourself and give its path") from None
    finally:
        stop.set()
    if error:
        reason = str(error).removeprefix("<urlopen error ").removesuffix(">")
        words = f"{url} could not be fetched ({' '.join(reason.split())})"
        raise ConnectionError(words) from error
    return data


def _read(url: str, limit: int, stop: threading.Event) -> bytes:
    address = urllib.parse.quote(url, safe=string.punctuation)  # blanks, accents
    request = urllib.request.Request(address, headers={"User-Agent": "course_utils"})
    data = bytearray()
    with _opener().open(request, timeout=SILENCE) as answer:
        while not stop.is_set() and len(data) <= limit:
            part = answer.read1(min(1 << 16, limit + 1 - len(data)))
            if not part:
                break
            data += part
        if len(data) <= limit and answer.length:
            raise OSError(f"the connection broke off, {answer.length} bytes before the end")
    return bytes(data)


def _opener() -> urllib.request.OpenerDirector:
    """Follows ``http`` and ``https``, also where it is led on; no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
