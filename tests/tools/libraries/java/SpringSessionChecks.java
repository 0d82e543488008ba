import io.lettuce.core.protocol.ProtocolVersion;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisTemplate;
import org.springframework.data.redis.listener.PatternTopic;
import org.springframework.data.redis.listener.ChannelTopic;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;
import org.springframework.data.redis.serializer.RedisSerializer;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.SessionRepository;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;
import org.springframework.session.data.redis.RedisSessionRepository;
import org.springframework.session.data.redis.config.ConfigureNotifyKeyspaceEventsAction;
import org.springframework.session.events.SessionCreatedEvent;
import org.springframework.session.events.SessionDeletedEvent;
import org.springframework.session.events.SessionExpiredEvent;

/** Spring Session, with and without its index, RESP2 and RESP3. */
final class SpringSessionChecks {
    private final Checks checks;
    private final ProtocolVersion protocol;
    private final LettuceConnectionFactory factory;

    private SpringSessionChecks(Checks checks, ProtocolVersion protocol) {
        this.checks = checks;
        this.protocol = protocol;
        factory = SpringChecks.factory(checks, protocol);
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("spring-session", arguments);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            SpringSessionChecks kind = new SpringSessionChecks(checks, protocol);
            checks.add("sessions " + protocol, kind::sessions);
            checks.add("indexed sessions " + protocol, kind::indexed);
        }
        checks.runAll();
    }

    private RedisTemplate<String, Object> template() {
        RedisTemplate<String, Object> template = new RedisTemplate<>();
        template.setKeySerializer(RedisSerializer.string());
        template.setHashKeySerializer(RedisSerializer.string());
        template.setConnectionFactory(factory);
        template.afterPropertiesSet();
        return template;
    }

    /** The prefix has a hash tag, because a session's new ID renames its key. */
    private String prefix(String kind) {
        return checks.key(protocol.toString(), "{" + kind + "}");
    }

    private void sessions() {
        RedisSessionRepository repository = new RedisSessionRepository(template());
        repository.setRedisKeyNamespace(prefix("plain"));
        use(repository);
    }

    private <S extends Session> void use(SessionRepository<S> repository) {
        S session = repository.createSession();
        session.setAttribute("user", "grün");
        session.setMaxInactiveInterval(Duration.ofMinutes(5));
        repository.save(session);
        S found = repository.findById(session.getId());
        Checks.equal(found.<String>getAttribute("user"), "grün");
        String old = found.getId();
        String renewed = found.changeSessionId();
        found.removeAttribute("user");
        repository.save(found);
        Checks.equal(repository.findById(old), null);
        Checks.equal(repository.findById(renewed).getAttributeNames(), Set.of());
        repository.deleteById(renewed);
        Checks.equal(repository.findById(renewed), null);
    }

    /** Sessions by their user, and events of their beginnings and ends by keyspace notifications. */
    private void indexed() throws Exception {
        var created = new ConcurrentSkipListSet<String>();
        var deleted = new ConcurrentSkipListSet<String>();
        var expired = new ConcurrentSkipListSet<String>();
        new ConfigureNotifyKeyspaceEventsAction().configure(factory.getConnection());
        RedisIndexedSessionRepository repository = new RedisIndexedSessionRepository(template());
        repository.setRedisKeyNamespace(prefix("indexed"));
        repository.setApplicationEventPublisher(event -> {
            if (event instanceof SessionCreatedEvent one) {
                created.add(one.getSessionId());
            } else if (event instanceof SessionDeletedEvent one) {
                deleted.add(one.getSessionId());
            } else if (event instanceof SessionExpiredEvent one) {
                expired.add(one.getSessionId());
            }
        });
        repository.afterPropertiesSet();
        RedisMessageListenerContainer container = new RedisMessageListenerContainer();
        container.setConnectionFactory(factory);
        container.addMessageListener(repository, List.of(new ChannelTopic(repository.getSessionDeletedChannel()),
                new ChannelTopic(repository.getSessionExpiredChannel()),
                new PatternTopic(repository.getSessionCreatedChannelPrefix() + "*")));
        container.afterPropertiesSet();
        container.start();
        use(repository);
        var session = repository.createSession();
        session.setAttribute(FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME, "user");
        repository.save(session);
        Map<String, ?> found = repository.findByPrincipalName("user");
        Checks.equal(found.keySet(), Set.of(session.getId()));
        Checks.until("its creation", () -> created.contains(session.getId()));
        repository.deleteById(session.getId());
        Checks.until("its deletion", () -> deleted.contains(session.getId()));
        Checks.equal(repository.findByPrincipalName("user"), Map.of());
        var brief = repository.createSession();
        brief.setMaxInactiveInterval(Duration.ofSeconds(1));
        repository.save(brief);
        Checks.until("its expiry", () -> expired.contains(brief.getId()));
        container.destroy();
        repository.destroy();
    }
}
