"""The command in a world where time runs faster: waits and time limits are short, nothing else.

`python -m chaos.hurried read …` is what `source-abandoned-carts read …` is.
"""

import time

CONNECT, READ, ANSWER = 0.5, 0.3, 1.0  # seconds, for 10, 60 and 600
_SLEEP = 1 / 1000


def main() -> None:
    from source_abandoned_carts.http import Patience  # noqa: PLC0415
    from source_abandoned_carts.start import start  # noqa: PLC0415

    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) * _SLEEP)
    defaults = Patience.__init__.__defaults__ or ()
    Patience.__init__.__defaults__ = (CONNECT, READ, ANSWER, *defaults[3:])
    start()


if __name__ == "__main__":
    main()
