# voxtrad in a container: small, as a user without rights, with a root file system that is never written to.
#
#   docker build -t voxtrad .
#   docker run --rm voxtrad check
#   docker run --read-only --tmpfs /tmp -v voxtrad-data:/data -p 127.0.0.1:8090:8090 voxtrad
#
# The configuration is at /etc/voxtrad (mount your own there), what must not be forgotten is at /data.
# deploy/README.md has the rest.
ARG BASE=docker.io/library/python:3.13.12-slim-trixie

# --- the programs -----------------------------------------------------------------------------------------------------
FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/voxtrad
WORKDIR /src
# The dependencies change seldom and the source often, so they are a layer of their own.
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        extras = (d for name in ("deepgram", "mcp", "otel") for d in p["optional-dependencies"][name]); \
        print(*p["dependencies"], *extras, sep="\n")' \
        > requirements.txt \
    && /opt/voxtrad/bin/pip install --only-binary=:all: -r requirements.txt
COPY README.md LICENSE ./
COPY config config
COPY voxtrad voxtrad
# Then what nobody needs who only runs it: pip, the packages' own tests, and telephone numbers' places and carriers.
RUN /opt/voxtrad/bin/pip install --no-deps . \
    && /opt/voxtrad/bin/pip uninstall --yes pip \
    && cd /opt/voxtrad/lib/python3*/site-packages \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && rm -r phonenumbers/geodata phonenumbers/carrierdata phonenumbers/tzdata

# --- the image --------------------------------------------------------------------------------------------------------
FROM ${BASE}
LABEL org.opencontainers.image.title="voxtrad" \
      org.opencontainers.image.description="The self-hosted voice-agent server for Asterisk" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 voxtrad \
    && useradd --uid 10001 --gid voxtrad --no-create-home --home-dir /data --shell /usr/sbin/nologin voxtrad \
    && install --directory --owner=voxtrad --group=voxtrad --mode=700 /data
COPY --from=build /opt/voxtrad /opt/voxtrad
COPY config /etc/voxtrad/config
COPY deploy/compose/*.yaml /etc/voxtrad/deploy/compose/
COPY deploy/docker/health.py /opt/voxtrad/health.py
ENV PATH=/opt/voxtrad/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    VOXTRAD_CONFIG=/etc/voxtrad/deploy/compose/voxtrad.yaml \
    VOXTRAD_DATA_DIR=/data
USER 10001:10001
WORKDIR /etc/voxtrad
VOLUME /data
# API, console and /metrics; AudioSocket for a PBX without chan_websocket.
EXPOSE 8090 9092
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python3", "/opt/voxtrad/health.py"]
# The first SIGTERM drains: live calls finish. Give it the time: docker stop --time 330.
STOPSIGNAL SIGTERM
ENTRYPOINT ["voxtrad"]
CMD ["serve"]
