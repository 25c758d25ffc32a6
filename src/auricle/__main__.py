import sys

from auricle.cli.main import main

sys.exit(main())
