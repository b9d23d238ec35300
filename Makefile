.DEFAULT_GOAL := help
.PHONY: help check bench attack fuzz chaos lock

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

check: ## everything ./test does
	./test

bench: ## messages sent per second beside pgbench and other frameworks
	bench/run

attack: ## the promises of signing in, attacked
	./test tests/attack

fuzz: ## every call of the API, as its description allows and as it does not
	FUZZ=200 ./test tests/integration/test_described.py

chaos: ## 1,000 messages while workers and servers are killed
	tests/chaos/run

lock: ## requirements/*.in -> hashed requirements/*.txt
	cd requirements && for name in runtime dev bench; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
			--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
			--output-file $$name.txt $$name.in || exit 1; \
	done
