# cmake -D SOURCE=... -D DESTINATION=... -P install_mqttjs.cmake
# Installs what SOURCE/package-lock.json names into DESTINATION, unless it is there already.
file(MAKE_DIRECTORY ${DESTINATION})
file(SHA256 ${SOURCE}/package-lock.json wanted)
set(installed "")
if(EXISTS ${DESTINATION}/installed)
  file(READ ${DESTINATION}/installed installed)
endif()
if(installed STREQUAL wanted)
  return()
endif()
file(COPY ${SOURCE}/package.json ${SOURCE}/package-lock.json DESTINATION ${DESTINATION})
execute_process(COMMAND npm ci --ignore-scripts --no-audit --no-fund WORKING_DIRECTORY ${DESTINATION}
  COMMAND_ERROR_IS_FATAL ANY)
file(WRITE ${DESTINATION}/installed ${wanted})
