export REKINDLE_IDENTITY=/tmp/hk/id.txt
