"""The connector's command with short waits and timeouts; everything else is unchanged.

`python -m tools.chaos.hurried read …` is what `source-abandoned-carts read …` is.
"""

import time

CONNECT, READ, BODY = 0.5, 0.3, 1.0  # seconds, for 10, 60 and 600
_SLEEP = 1 / 1000


def main() -> None:
    from source_abandoned_carts.http import RetryPolicy  # noqa: PLC0415
    from source_abandoned_carts.run import run  # noqa: PLC0415

    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) * _SLEEP)
    defaults = RetryPolicy.__new__.__defaults__ or ()
    RetryPolicy.__new__.__defaults__ = (CONNECT, READ, BODY, *defaults[3:])
    run()


if __name__ == "__main__":
    main()
